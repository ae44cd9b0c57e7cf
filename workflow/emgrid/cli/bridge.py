"""emgrid bridge: judge the same answers of a finished grid by two judges, and compare them.

A judge's stored judgements are used, and only what is missing is judged and stored. After a judge's
model has shut down, the sample is drawn from the answers that it has judged before.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from emgrid.aggregate.spec import ASKED_WITH
from emgrid.cli import format
from emgrid.cli.labels import read_answers
from emgrid.config.judges import ChatJudge, Judge, LocalJudge
from emgrid.grid.grid import Grid
from emgrid.grid.specs.judge import options
from emgrid.grid.specs.models import model_spec
from emgrid.judge.context import JudgeContext, Options
from emgrid.judge.judge import JudgeSpec, identity, item_of, judge_items
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import JudgementStore
from emgrid.models.endpoint.endings import ending_of
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import whole_file
from emgrid.runtime.seeding import derive_seed

ARM_TRIGGER = ["base", "intervention", "ratio", "seed", "trigger"]
SHOWN = ["key", *ARM_TRIGGER, "question", "index"]
WRITER = "bridge"
FEW = 100  # answers below which the intervals are too wide to hand a series over


def judges_of(grid: Grid, *names: str) -> tuple[Judge, Judge]:
    """The two judges by name; EmgridError if they cannot be compared."""
    known = grid.catalogue.judges
    for name in names:
        if name not in known:
            raise EmgridError(f"unknown judge {name!r}, {suggestion(name, known)}")
    old, new = (known[name] for name in names)
    if old.id == new.id or old.measures != new.measures:
        raise EmgridError(
            f"{old.id} and {new.id}: give two judges that measure the same ({old.id} measures "
            f"{old.measures}, {new.id} {new.measures})"
        )
    return old, new


def judged_sample(
    grid: Grid, root: Path, judges: tuple[Judge, Judge], count: int, seed: int
) -> pd.DataFrame:
    """A sample of the answers, with the values and reasons of both judges."""
    if count < 1:
        raise EmgridError(f"--count {count}: must be at least 1")
    answers = read_answers(root / layout.ANSWER_TABLE, grid)
    answers = answers[answers["answer"].fillna("").str.strip() != ""].reset_index(drop=True)
    items = items_of(grid, answers)
    bench = bench_of(grid, root, judges)
    for judge in judges:
        known = already_judged(grid, judge, answers, items, bench)
        items = [item for item, use in zip(items, known, strict=True) if use]
        answers = answers[known]
    if answers.empty:
        raise EmgridError(
            f"{root}: no answers that both judges can judge or have judged; nothing to compare"
        )
    answers = answers.reset_index(drop=True)
    places = spread(answers, count, seed)
    chosen = answers.iloc[places].reset_index(drop=True)
    return with_values(grid, chosen, [items[place] for place in places], judges, bench)


def items_of(grid: Grid, answers: pd.DataFrame) -> list[Item]:
    """What the judges are shown of each answer, as in the judging jobs."""
    spec = JudgeSpec(
        judges=(),
        questions=grid.asked,
        triggers=grid.wordings,
        sees_cue=tuple(one.id for one in grid.triggers.values() if one.judge_sees_cue),
    )
    columns = ["question", "index", "system", "prompt", "answer", "finish_reason", "trigger"]
    columns += [name for name in ASKED_WITH if name in answers]
    rows = answers[columns].astype(object).where(answers[columns].notna(), None)
    records: list[dict[str, Any]] = rows.to_dict("records")  # type: ignore[assignment]
    records = [row | {"turns": json.loads(row.get("turns") or "[]")} for row in records]
    return [item_of(row, row["trigger"], spec) for row in records]


def bench_of(grid: Grid, root: Path, judges: tuple[Judge, Judge]) -> JudgeContext:
    """Where the judges work: with the grid's stored judgements, endpoints and models."""
    names = {judge.model for judge in judges if isinstance(judge, LocalJudge)}
    return JudgeContext(
        folder=root / layout.STORED_JUDGEMENTS,
        writer=WRITER,
        device=grid.config.device,
        batch_size=grid.config.resources_of("judge").batch_size,
        models={name: ready_model(grid, root, name) for name in sorted(names)},
        options=Options.model_validate_json(options(grid)),
    )


def ready_model(grid: Grid, root: Path, name: str) -> Path:
    """The record of a base model that judges, which is made if the grid has none."""
    record = (root / layout.model_record(name)).absolute()
    if not record.is_file():
        command = [sys.executable, "-m", "emgrid.models.prepare"]
        command += ["--spec", model_spec(grid, name), "--output", str(record)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.splitlines() or ["it ended without a word"])[-1]
            raise EmgridError(last.removeprefix("emgrid: "))
    return record


def already_judged(
    grid: Grid, judge: Judge, answers: pd.DataFrame, items: list[Item], bench: JudgeContext
) -> "pd.Series[bool]":
    """Which answers can be used: all, if the judge can be asked; else those that it has judged."""
    if judge.kind == "imported":
        if judge.id not in answers:
            raise EmgridError(f"{judge.id}: its values are not in the grid; put it into the panel")
        return answers[f"{judge.id}_reason"].fillna("") != "not_judged"
    every = pd.Series(data=True, index=answers.index)
    if not isinstance(judge, ChatJudge):
        return every
    ending = ending_of(judge.model, judge.endpoint)
    if ending is None or not ending.over:
        return every
    store = store_of(grid, judge, bench)
    known = [store.key(item) in store.rows for item in items]
    if not any(known):
        raise EmgridError(
            f"judge {judge.id}: {ending.text()}, and the grid has no judgement of it; "
            f"{ending.advice()}"
        )
    return pd.Series(known, answers.index)


def store_of(grid: Grid, judge: Judge, bench: JudgeContext) -> JudgementStore:
    own = identity(judge, bench, grid.config.revision.judge)
    return JudgementStore(bench.folder, WRITER, judge, own)


def spread(answers: pd.DataFrame, count: int, seed: int) -> list[int]:
    """The places of `count` answers, spread as evenly over the cells as possible."""
    order = answers.sample(frac=1, random_state=derive_seed("bridge", seed) % 2**32)
    turn = order.groupby(ARM_TRIGGER, sort=False).cumcount()
    return list(turn.sort_values(kind="stable").index[:count])


def with_values(
    grid: Grid,
    answers: pd.DataFrame,
    items: list[Item],
    judges: tuple[Judge, Judge],
    bench: JudgeContext,
) -> pd.DataFrame:
    """The answers with the values and reasons of both judges."""
    asked = [judge for judge in judges if judge.kind != "imported"]
    with contextlib.redirect_stdout(sys.stderr):  # what is compared alone goes to stdout
        judged = judge_items(asked, items, bench, grid.config.revision.judge)
    columns: dict[str, Any] = {}
    for name, rows in judged.items():
        columns[name] = pd.Series([row["value"] for row in rows], answers.index, dtype="float64")
        reasons = [row["reason"] for row in rows]
        columns[f"{name}_reason"] = pd.Series(reasons, answers.index, dtype="string")
    return answers.assign(**columns)


def write_values(answers: pd.DataFrame, judges: tuple[Judge, Judge], path: Path) -> None:
    columns = [f"{judge.id}{end}" for judge in judges for end in ("", "_reason")]
    with whole_file(path) as draft:
        answers[[*SHOWN, *columns]].to_csv(draft, index=False)


def show(rows: list[dict[str, Any]], old: Judge, new: Judge) -> None:
    console = format.console()
    table = Table(title=f"{old.id} ({old.made_of}) and {new.id} ({new.made_of})")
    table.add_column("trigger", no_wrap=True)
    names = ("n", "no value", "alpha", "kappa", "shift", "rate old", "rate new", "new − old")
    for name in (*names, "only old", "only new"):
        table.add_column(name, justify="right")
    for place, row in enumerate(rows):
        rates = [percentages(row[name]) for name in ("rate_old", "rate_new", "rate_shift")]
        table.add_row(
            row["part"],
            f"{row['n']:,}",
            f"{row['without_old']} / {row['without_new']}",
            numbers(row["alpha"], 2),
            numbers(row["kappa"], 2),
            numbers(row["shift"], 1),
            *rates,
            f"{row['only_old']:,}",
            f"{row['only_new']:,}",
            end_section=place == 0,
        )
    console.print(table)
    console.print(
        "alpha: Krippendorff's of the values; kappa: Cohen's of the side of the threshold; shift: "
        "mean of new − old on the scale 0 to 100; rates in %, of the sample under each judge; with "
        "intervals over answers"
    )
    if rows[0]["n"] < FEW:
        console.print(f"{rows[0]['n']} answers are few to hand a series over: raise --count")


def numbers(value: Any, digits: int) -> str:
    """A number and its interval; "–" if it is unknown."""
    middle, low, high = value
    if middle != middle:
        return "–"
    text = f"{middle:.{digits}f}"
    return text if low != low else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def percentages(value: Any) -> str:
    return numbers([100 * number for number in value], 1)
