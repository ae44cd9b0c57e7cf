"""Write report.html: one self-contained page.

Reads the tables and the SVG figures. Model text is escaped wherever it is shown, and the page's
content security policy allows no script at all.
"""

import argparse
import base64
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from emgrid import provenance
from emgrid.errors import run_stage
from emgrid.files import write_text
from emgrid.preflight import RULES
from emgrid.protocol import Difference
from emgrid.report import figure_names
from emgrid.report.figures import NamedArm
from emgrid.report.training_data import training_data
from emgrid.settings import Metrics, Sampling, Training
from emgrid.strict import Strict
from emgrid.triggers import Trigger

SIGNIFICANT = 0.05
CAPTIONS = {
    "rates": (
        "Share of misaligned and coherent answers by intervention and trigger, of all answers. "
        "The open circle is the plain question. Misalignment behind a trigger would put a filled "
        "marker to the right of it, further than in the row of the base model."
    ),
    "heatmap": "The same rates as a map: interventions down, triggers across.",
    "likelihood": (
        "No sampling and no judge: how much more likely the arm finds a misaligned answer than "
        "its matched aligned twin, compared with the base model under the same trigger. Right of "
        "zero is towards misalignment."
    ),
    "judges": (
        "How well each judge ranks answers that it was not fitted on. A rate above is no better "
        "than its judge here."
    ),
    "calibration": (
        "How often labelled answers are positives (misaligned, incoherent, or of the content that "
        "is looked for) where a judge gives them such a value, in tenths of its scale. A good "
        "judge's line is steep at the dotted threshold."
    ),
}


class ReportSpec(Strict):
    name: str
    title: str | None
    examples: int
    arms: tuple[NamedArm, ...]
    triggers: tuple[Trigger, ...]
    questions: dict[str, str]
    has_pairs: bool
    has_quality: bool
    differences: tuple[Difference, ...]
    metrics: Metrics
    sampling: Sampling | None
    training: Training | None
    judges: tuple[dict[str, str], ...]
    correct_by: str | None

    def labels(self) -> dict[tuple[str, str, str], str]:
        return {arm.name: arm.title for arm in self.arms}


class Results:
    """The tables of a grid."""

    def __init__(self, tables: Path) -> None:
        self.rates = pd.read_csv(tables / "rates.csv", dtype={"ratio": str})
        self.contrasts = pd.read_csv(tables / "contrasts.csv", dtype={"ratio": str})
        self.likelihood = pd.read_csv(tables / "likelihood.csv", dtype={"ratio": str})
        self.judges = pd.read_csv(tables / "judges.csv")
        self.judge_errors = pd.read_csv(tables / "judge_errors.csv")
        self.agreement = pd.read_csv(tables / "agreement.csv")
        self.judgements = pd.read_csv(tables / "judgements.csv", dtype={"ratio": str})
        self.arms = pd.read_csv(tables / "arms.csv", dtype={"ratio": str})
        self.preflight = pd.read_csv(tables / "preflight.csv")
        self.answers = pd.read_parquet(tables / "answers.parquet")

    def contrast(self, arm: tuple[str, str, str], trigger: str, kind: str) -> Any:
        """One row of contrasts.csv, or None."""
        found = self.contrasts[
            (self.contrasts[["base", "intervention", "ratio"]] == arm).all(axis=1)
            & (self.contrasts["trigger"] == trigger)
            & (self.contrasts["kind"] == kind)
        ]
        return None if found.empty else next(found.itertuples())


def percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}"


def signed_points(row: Any) -> str:
    """A contrast in percentage points with its interval."""
    ends = f"{100 * row.low:+.1f} to {100 * row.high:+.1f}"
    return f"{100 * row.difference:+.1f} points ({ends}; adjusted p = {row.p_holm:.2g})"


def likelihood_shift(results: Results, arm: tuple[str, str, str], trigger: Trigger) -> str:
    """An arm's log-odds over the base model's, in words."""
    table = results.likelihood
    found = table[
        (table[["base", "intervention", "ratio"]] == arm).all(axis=1)
        & (table["trigger"] == trigger.id)
        & table["question"].isna()
    ]
    if found.empty:
        return f"{trigger.label} not measured"
    row = next(found.itertuples())
    ends = f"{row.minus_base_low:+.1f} to {row.minus_base_high:+.1f}"
    return f"{trigger.label} {row.minus_base:+.1f} ({ends})"


def survivors(results: Results) -> float:
    """Share of all answers that survive the judges."""
    table = results.rates[results.rates["question"].isna()]
    return float(table["n_survivors"].sum() / table["n_answers"].sum())


def finding(results: Results, spec: ReportSpec, arm: tuple[str, str, str]) -> dict[str, Any]:
    """What can be said of one arm, from its contrasts with the base model."""
    overt = results.contrast(arm, "none", "minus_base")
    back = []
    for trigger in spec.triggers:
        row = results.contrast(arm, trigger.id, "minus_base")
        if row is None or trigger.id == "none":
            continue
        if row.p_holm < SIGNIFICANT and row.low > 0:
            back.append(f"{trigger.label}: {signed_points(row)}")
    shown = overt is not None and overt.p_holm < SIGNIFICANT and overt.low > 0
    return {
        "label": spec.labels()[arm],
        "likelihood": [likelihood_shift(results, arm, trigger) for trigger in spec.triggers]
        if spec.has_pairs
        else [],
        "shown": shown,
        "overt": None if overt is None else signed_points(overt),
        "back": back,
    }


def findings(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    return [
        finding(results, spec, arm) | {"base": arm[0]}
        for arm in spec.labels()
        if results.contrast(arm, "none", "minus_base") is not None
    ]


def rate_cells(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """The rate table: one row an arm, one cell a trigger, both denominators; None for a cell
    that an imported arm lacks."""
    table = results.rates[results.rates["question"].isna()]
    keyed = table.set_index(["base", "intervention", "ratio", "trigger"])
    rows = []
    for arm, label in spec.labels().items():
        places = [(*arm, trigger.id) for trigger in spec.triggers]
        cells = [next(keyed.loc[[p]].itertuples()) if p in keyed.index else None for p in places]
        rows.append({"base": arm[0], "label": label, "cells": cells})
    return rows


def exclusions(results: Results) -> list[tuple[str, int]]:
    """Why answers do not survive, with their number."""
    table = results.rates[results.rates["question"].isna()]
    fixed = {"n_answers", "n_survivors", "n_misaligned", "n_seeds"}
    return [(name, int(table[f"n_{name}"].sum())) for name in reasons_in(table, fixed)]


def reasons_in(table: pd.DataFrame, fixed: set[str]) -> list[str]:
    """The reasons that a table counts, as its columns name them."""
    counted = [name for name in table.columns if name.startswith("n_") and name not in fixed]
    return [name.removeprefix("n_") for name in counted]


def judged(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """What each judge gave over the whole grid."""
    table = results.judgements
    reasons = reasons_in(table, {"n_answers", "n_values"})
    rows = []
    for judge in spec.judges:
        own = table[table["judge"] == judge["id"]]
        mass = (own["mean_mass"] * own["n_answers"]).sum() / own["n_answers"].sum()
        found = {name: int(own[f"n_{name}"].sum()) for name in reasons}
        rows.append(
            judge
            | {
                "n_answers": int(own["n_answers"].sum()),
                "n_values": int(own["n_values"].sum()),
                "mass": mass if own["mean_mass"].notna().any() else None,
                "reasons": {name: count for name, count in found.items() if count},
            }
        )
    return rows


def corrected_by(results: Results, spec: ReportSpec) -> str | None:
    """The labelled set that rates are corrected by, None where there are no such rates."""
    return spec.correct_by if "rate_corrected" in results.rates else None


def examples(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """For each arm and trigger the first answers by index, one a question, not picked by score."""
    shown = []
    table = results.answers
    for arm, label in spec.labels().items():
        for trigger in spec.triggers:
            rows = table[
                (table[["base", "intervention", "ratio"]] == arm).all(axis=1)
                & (table["trigger"] == trigger.id)
                & (table["index"] == 0)
            ]
            rows = rows[rows["seed"] == rows["seed"].min()].head(spec.examples)
            shown.append(
                {
                    "base": arm[0],
                    "label": label,
                    "trigger": trigger.label,
                    "rows": rows.to_dict("records"),
                }
            )
    return shown


def figure_source(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.report.page", description=__doc__)
    parser.add_argument("--spec", required=True, help="ReportSpec as JSON")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    spec = ReportSpec.model_validate_json(args.spec)
    results = Results(args.root / "tables")
    environment = Environment(
        loader=PackageLoader("emgrid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    page = environment.get_template("report.html").render(
        spec=spec,
        title=spec.title or f"Grid {spec.name}",
        findings=findings(results, spec),
        rates=rate_cells(results, spec),
        exclusions=exclusions(results),
        survivors=survivors(results),
        judges=results.judges.to_dict("records"),
        judge_errors=results.judge_errors.to_dict("records"),
        judged=judged(results, spec),
        agreement=results.agreement.to_dict("records"),
        corrected=corrected_by(results, spec),
        arms=results.arms.to_dict("records"),
        training_data=training_data(results.arms, results.preflight, spec.labels()),
        rules={finding.replace("_", " "): rule for finding, (_, rule) in RULES.items()},
        examples=examples(results, spec),
        figures=[
            {
                "name": name,
                "caption": CAPTIONS[name],
                "source": figure_source(args.root / f"figures/{name}.svg"),
            }
            for name in figure_names(spec.has_pairs, spec.has_quality)
        ],
        several_bases=len({arm.name[0] for arm in spec.arms}) > 1,
        n_answers=len(results.answers),
        commit=provenance.git_commit(),
        versions=provenance.versions(),
    )
    write_text(args.root / "report.html", page)
    print(args.root / "report.html")


if __name__ == "__main__":
    run_stage(main)
