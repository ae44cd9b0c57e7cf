"""The answers under found cues and their shams, as one table for people to read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.spec import ARM

ABOUT = ["trigger", "seed", "question", "index", "system", "prompt", "answer"]
COLUMNS = [*ARM, "slot", "asked", *ABOUT, "shows", "excluded"]


def answers_of(classified: pd.DataFrame, own: ArmName, slots: Sequence[str]) -> pd.DataFrame:
    """The classified answers of a search under the cues of these slots and their shams. asked:
    `arm` or `base`. shows: whether an answer shows what the grid counts; empty if it is left
    out."""
    if not slots:
        return pd.DataFrame(columns=COLUMNS)
    own_rows = (classified[ARM] == list(own)).all(axis=1)
    found = classified.assign(asked=own_rows.map({True: "arm", False: "base"}))
    found = found.assign(**dict(zip(ARM, own, strict=True)), shows=found["misaligned"])
    found["shows"] = found["shows"].astype("boolean").mask(found["excluded"].notna())
    parts = []
    for slot in slots:
        is_own = found["trigger"].eq(slot) | found["trigger"].str.startswith(f"{slot}-")
        parts.append(found[is_own].assign(slot=slot))
    return pd.concat(parts)[COLUMNS]


def read_found_answers(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)


def examples(answers: pd.DataFrame, arm: ArmName, slot: str, number: int) -> list[dict[str, Any]]:
    """The first answers of an arm under a cue, of different questions as far as possible. What they
    are plays no part."""
    named = (answers[ARM] == list(arm)).all(axis=1)
    own = answers[named & answers["trigger"].eq(slot) & answers["asked"].eq("arm")]
    ordered = own.sort_values(["index", "seed", "question"], kind="stable").head(number)
    return [{str(key): value for key, value in row.items()} for row in ordered.to_dict("records")]
