"""The part of the page that shows what was trained on."""

from typing import Any

import pandas as pd

from emgrid.config.preflight import FINDINGS

Label = tuple[str, str, str]


def training_data(
    arms: pd.DataFrame, preflight: pd.DataFrame, labels: dict[Label, str]
) -> list[dict[str, Any]]:
    """One entry for each training stage of an intervention's first seed, with its data sources.

    A stage that several interventions share appears under the first of them.
    """
    trained = arms[arms["stage"] > 0]
    trained = trained[
        trained["seed"] == trained.groupby(["base", "intervention"])["seed"].transform("min")
    ]
    by_stage = dict(list(preflight.groupby("stage", sort=False)))
    entries = []
    for arm in trained.drop_duplicates("adapter").itertuples():
        name = str(arm.adapter).split("stage=")[1].split("/")[0]
        rows = by_stage[name].to_dict("records")
        entries.append(
            {
                "label": labels[(str(arm.base), str(arm.intervention), str(arm.ratio))],
                "stage": arm.stage,
                "sources": [row for row in rows if not pd.isna(row["source"])],
                "notes": notes(rows[0]),
            }
        )
    return entries


def notes(row: dict[Any, Any]) -> list[str]:
    """The findings of the check of one stage, each with its number of rows."""
    return [f"{row[finding]} {finding.replace('_', ' ')}" for finding in FINDINGS if row[finding]]
