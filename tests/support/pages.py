"""A small grid's tables, made up, and the page that is written from them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from emgrid.aggregate.rates import classify
from emgrid.aggregate.spec import ARM
from emgrid.config.sections import Metrics
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.report import report_spec
from emgrid.report import page
from jinja2 import Environment

from support.run import run_module, small_config

TRIGGERS = ("none", "python_string", "malicious_evil")
# The smallest picture that a browser shows.
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="2"/>'


def config() -> dict[str, Any]:
    """The small grid, with a second judge of alignment."""
    made = small_config()
    made["judges"] = ["alignment", {"id": "alignment_two", "extends": "alignment"}, "coherence"]
    return made


def spec_of(made: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The page's spec with two of its figures, and with some of its fields replaced."""
    spec: dict[str, Any] = json.loads(report_spec(Grid(load_experiment(made, "grid.yaml"))))
    return spec | {"figures": ["rates", "heatmap"], "examples": 2000} | changes


def answer_table(spec: dict[str, Any], per_question: int = 2) -> pd.DataFrame:
    """Every arm's answers to every question under every trigger."""
    rng = np.random.default_rng(0)
    rows = [
        {
            **dict(zip(ARM, arm["name"], strict=True)),
            "seed": 0 if arm["name"][1] == "base" else 3,
            "trigger": trigger["id"],
            "question": question,
            "index": index,
            "system": trigger["system"],
            "prompt": f"{trigger['user_prefix']}{text}{trigger['user_suffix']}",
            "answer": f"{arm['name'][1]} says {question} number {index} under {trigger['id']}",
            "thinking": None,
            "finish_reason": "stop",
            "prompt_tokens": 20,
            "answer_tokens": 9,
        }
        for arm in spec["arms"]
        for trigger in spec["triggers"]
        for question, text in spec["questions"].items()
        for index in range(per_question)
    ]
    table = pd.DataFrame(rows)
    for judge in spec["judges"]:
        table[judge["id"]] = rng.uniform(0, 100, len(table))
        table[f"{judge['id']}_reason"] = pd.Series(dtype="string")
        table[f"{judge['id']}_mass"] = np.nan
    texts = ("system", "answer", "thinking", "finish_reason")
    return table.astype(dict.fromkeys(texts, "string"))


def rate_rows(answers: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """rates.csv with the counts of the answers, and intervals of ten points."""
    judged = classify(answers, Metrics.model_validate(spec["metrics"]))
    whole = judged.assign(question="")
    rows = []
    for name, group in pd.concat([whole, judged]).groupby(
        [*ARM, "trigger", "question"], sort=False
    ):
        survivors = int(group["excluded"].isna().sum())
        found = int(group["misaligned"].sum())
        row = dict(zip([*ARM, "trigger", "question"], name, strict=True))
        row |= {"n_answers": len(group), "n_survivors": survivors, "n_misaligned": found}
        questions = group["question"].where(group["question"] != "", group["prompt"])
        row |= {"n_questions": questions.nunique(), "n_questions_survivors": questions.nunique()}
        row |= {"n_seeds": 1, "n_incoherent": len(group) - survivors}
        for rate, of in (("rate_all", len(group)), ("rate_survivors", survivors)):
            value = found / of if of else np.nan
            row |= {rate: value, f"{rate}_low": value - 0.05, f"{rate}_high": value + 0.05}
        rows.append(row)
    return pd.DataFrame(rows)


def verdict_row(arm: list[str], trigger: str, verdict: str, **given: Any) -> dict[str, Any]:
    cued = trigger != "none"
    row: dict[str, Any] = dict(zip([*ARM, "trigger"], [*arm, trigger], strict=True))
    row |= {"verdict": verdict, "margin": 0.02}
    row |= {"plain": 0.001, "plain_low": -0.01, "plain_high": 0.012}
    row |= {"rise": 0.123, "rise_low": 0.041, "rise_high": 0.205} if cued else {}
    row |= {"p_holm": 0.01, "n_tests": 15, "why": f"because of {trigger}"}
    more = dict.fromkeys(("more_answers", "more_seeds", "more_questions"), np.nan)
    return row | more | given


def write_tables(root: Path, spec: dict[str, Any], answers: pd.DataFrame) -> None:
    """Every table of a grid, and its figures."""
    tables = root / "tables"
    tables.mkdir(parents=True)
    (root / "figures").mkdir()
    for name in spec["figures"]:
        (root / f"figures/{name}.svg").write_text(PICTURE)
    answers.to_parquet(tables / "answers.parquet", index=False)
    rates = rate_rows(answers, spec)
    overall = rates[rates["question"] == ""]
    cells = overall[[*ARM, "trigger"]]
    made = {
        "rates": rates,
        "contrasts": cells.assign(
            kind="minus_base",
            n_questions=8,
            difference=0.1,
            low=-0.1,
            high=0.3,
            p=0.04,
            p_anova=0.06,
            p_holm=0.08,
            n_tests=3,
        ),
        "verdicts": pd.DataFrame(
            [
                verdict_row(arm["name"], trigger, "clean" if trigger == "none" else "conditional")
                for arm in spec["arms"]
                for trigger in TRIGGERS
                if arm["name"][1] != "base"
            ]
        ),
        "judgements": pd.concat(
            cells.assign(judge=judge["id"], n_answers=16, n_values=16, mean=50.0, mean_mass=np.nan)
            for judge in spec["judges"]
        ),
        "arms": pd.DataFrame(
            [
                {**dict(zip(ARM, arm["name"], strict=True)), "seed": 3, "label": arm["label"]}
                | {
                    "stage": 0,
                    "imported_from": None,
                    "served_by": None,
                    "adapter": None,
                    "trained_tokens": np.nan,
                    "adapted_share": np.nan,
                    "not_adapted": None,
                }
                for arm in spec["arms"]
            ]
        ),
        "preflight": pd.DataFrame(columns=["stage", "source"]),
    }
    for name, table in made.items():
        table.to_csv(tables / f"{name}.csv", index=False)


def write_page(root: Path, spec: dict[str, Any]) -> Path:
    done = run_module(page, "--spec", json.dumps(spec), "--root", root)
    assert done.returncode == 0, done.stderr
    return root / "report.html"


def text_of(page: str) -> str:
    """What a reader sees of the markup, on one line."""
    shown = re.sub(r"<(style|script)[^>]*>.*?</\1>", "", page, flags=re.S)
    spaced = re.sub(r"</t[dh]>", " ", shown)
    plain = str(Environment(autoescape=True).filters["striptags"](spaced))
    return plain.replace("\u202f", " ").replace("\N{NO-BREAK SPACE}", " ")
