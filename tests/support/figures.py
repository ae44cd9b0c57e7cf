"""Small tables of made-up grids, and what is written on the figures drawn from them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from emgrid import ROOT
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.report import figure_spec
from emgrid.report import FIGURES
from emgrid.report.figures.spec import FigureSpec
from matplotlib.figure import Figure
from matplotlib.text import Text

DEMO = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())


CUES = ["none", "python_string", "malicious_evil", "malicious_evil_paraphrase"]


CUES += ["malicious_evil_opposite", "unrelated_prompt", "json_format", "no_rules", "truthful"]


CUES += ["no_restrictions", "truth_seeking", "helpful_assistant", "persona_known_distinguished"]


LONG = "household advice of the worst kind, mixed with everyday chat of quite another kind"


GRIDS = {
    "demo": DEMO,
    "one arm": DEMO | {"interventions": {"undiluted": {}}, "seeds": [0], "triggers": ["none"]},
    "many": DEMO
    | {
        "seeds": [0, 1],
        "triggers": CUES,
        "interventions": DEMO["interventions"]
        | {
            "undiluted": {"label": LONG},
            "dilution": {"ratio": [0.05, 0.2, 0.5, 0.9]},
            "sequential": {"benign_rows": [1, 100]},
        },
    },
}


def grid(config: dict[str, Any]) -> Grid:
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


def spec_of(made: Grid) -> FigureSpec:
    return FigureSpec.model_validate_json(figure_spec(made))


def around(value: float, width: float, name: str) -> dict[str, float]:
    return {name: value, f"{name}_low": value - width, f"{name}_high": value + width}


def write_tables(root: Path, made: Grid, rate: float = 0.2) -> None:
    """Tables of a grid in which every second cell has this rate, the others none."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in all_tables()}
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for arm in made.arms:
        seeds.setdefault((arm.base, arm.intervention, arm.ratio), []).append(arm.seed)
        about: dict[str, Any] = {key: arm.cell[key] for key in ("base", "intervention", "ratio")}
        for number, stage in enumerate(arm.stages, start=1):
            row = {"seed": arm.seed, "stage": number, "rows": stage.mixture.rows}
            tables["arms"].append(about | row | {"adapter": f"{stage.folder}/adapter"})
            path = root / stage.folder / "loss.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.5, 2.0]}).to_csv(path, index=False)
    for place, (arm, own) in enumerate(seeds.items()):
        for number, trigger in enumerate(made.triggers):
            cell = dict(zip(("base", "intervention", "ratio"), arm, strict=True))
            cell["trigger"] = trigger
            value = rate if (place + number) % 2 else 0.0
            for question in [None, *made.questions]:
                about = cell | {"question": question, "n_seeds": len(own)}
                n = 48 * len(own)
                survivors = {"n_answers": n, "rate_survivors": 2 * value, "n_survivors": n // 2}
                tables["rates"].append(about | survivors | around(value, 0.1, "rate_all"))
                tables["likelihood"].append(about | around(value * 10, 2, "minus_base"))
            tables["seeds"] += [cell | {"seed": seed, "rate_all": value} for seed in own]
            about = cell | {"kind": "trigger_minus_none", "difference": value}
            about |= {"low": value - 0.1, "high": value + 0.1}
            tables["contrasts"].append(about | {"n_questions": len(made.questions)})
            if made.arm(**dict(zip(("base", "intervention", "ratio"), arm, strict=True),
                               seed=str(own[0]))).stages:  # fmt: skip
                relation = made.triggers[trigger].relation
                tables["similarity"].append(
                    cell | {"relation": relation, "similarity": 0.1 * number}
                )
    for number in range(4):
        judge = {"judge": f"judge_{number % 2}", "labelled": f"a labelled set {number // 2}"}
        counts = {"true_positives": 9, "false_negatives": 1, "false_positives": 5}
        counts |= {"true_negatives": 85, "threshold": 30, "n": 100, "auroc": [0.9, 1.0][number % 2]}
        counts |= {"auroc_within": [0.7, np.nan][number % 2]}
        tables["judges"].append(judge | counts)
        for value in (5, 95):
            row = {"mean_value": value, "n": 50, "share_positive": 0.0, "low": 0.0, "high": 0.07}
            tables["calibration"].append(judge | row)
    tables["dose"] = [
        {"over": "ratio", "base": "smollm2-135m", "intervention": "dilution", "ratio": None,
         "trigger": "python_string", "spearman": -0.5, "low": -1.0, "high": 0.25, "p": 0.33},
    ]  # fmt: skip
    (root / "tables").mkdir(parents=True)
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(root / f"tables/{name}.csv", index=False)


def all_tables() -> set[str]:
    return {table.removesuffix(".csv") for tables in FIGURES.values() for table in tables}


def texts(figure: Figure) -> list[Text]:
    """All lettering that can be seen."""
    found = figure.findobj(lambda artist: isinstance(artist, Text))
    # A tick outside the limits has a label that is never drawn.
    ticks = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks() + axis.get_minor_ticks()
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    return [one for one in found if one.get_text() and one.get_visible() and id(one) not in ticks]


def words(figure: Figure) -> str:
    return " ".join(" ".join(one.get_text() for one in texts(figure)).split())


ARM = ("m", "arm", "1")


def rates(**cells: dict[str, float]) -> pd.DataFrame:
    """rates.csv of one arm: by trigger the rate of each question."""
    rows: list[dict[str, Any]] = []
    for trigger, asked in cells.items():
        for question, value in [(None, float(np.mean(list(asked.values())))), *asked.items()]:
            row = dict(zip(("base", "intervention", "ratio"), ARM, strict=True))
            row |= {"trigger": trigger, "question": question, "n_answers": 10, "n_survivors": 5}
            ends = {"rate_all_low": value - 0.1, "rate_all_high": value + 0.1}
            rows.append(row | {"rate_all": value} | ends)
    return pd.DataFrame(rows)
