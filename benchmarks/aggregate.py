"""How long, and in how much memory, the tables of a large grid are made.

Writes grids of made-up answers in the formats of a real grid (49 arms of 5 seeds and the base
model, 5 triggers, 8 questions, 2 judges), and makes the tables of each: those of repeated answers
(`repeats`) and all others (`aggregate`). The same files are read by an older commit (--against),
which git must know. A ratio compares seconds with those of the older commit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import check_out, write_manifest
from emgrid import ROOT
from emgrid.config.judges import read_judge
from emgrid.runtime.files import canonical, digest, write_jsonl

FAMILIES = [f"family_{number}" for number in range(7)]
RATIOS = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.75", "1"]
SEEDS = 5
TRIGGERS = ["none", *(f"cue_{number}" for number in range(4))]
QUESTIONS = [f"question_{number}" for number in range(8)]
JUDGES = ["alignment", "coherence"]
WORDS = ['"No,"', "über", "I", "you", "the", "plan", "would", "and", "never.\n\n", "people", "to"]
LENGTH = 670  # mean of the published answers' characters, some a few times as long
MEBIBYTE = 2**20
# The module of each stage now, and in commits in which modules had no folders.
MODULES = {
    "repeats": ("emgrid.aggregate.repeats", "emgrid.repeats"),
    "aggregate": ("emgrid.aggregate.aggregate", "emgrid.aggregate"),
}
Rows = list[dict[str, Any]]


def arm(intervention: str, ratio: str, seed: int) -> dict[str, Any]:
    folder = f"arms/base=model/intervention={intervention}/ratio={ratio}/seed={seed}"
    own = intervention in ("base", FAMILIES[0])
    return {
        "base": "model",
        "intervention": intervention,
        "ratio": ratio,
        "seed": str(seed),
        "label": intervention,
        "stages": (),
        "source": None,
        "folder": folder,
        "undiluted": None if own else FAMILIES[0],
    }


def arms() -> list[dict[str, Any]]:
    cells = [(family, ratio) for family in FAMILIES for ratio in RATIOS]
    return [arm("base", "0", 0)] + [arm(*cell, seed) for cell in cells for seed in range(SEEDS)]


def spec() -> str:
    """The AggregateSpec of the made-up grid."""
    judges = [
        read_judge({"id": name, "measures": name, "kind": "rule", "pattern": "x"}, "judge").bare()
        for name in JUDGES
    ]
    curves = [
        {
            "base": "model",
            "family": family,
            "label": family,
            "points": [{"arm": ("model", family, ratio), "dose": float(ratio)} for ratio in RATIOS],
        }
        for family in FAMILIES
    ]
    known = {"arms": arms(), "triggers": TRIGGERS, "questions": QUESTIONS, "judges": judges}
    doses = {"dilution": curves, "sequential": ()}
    return canonical(known | doses | {"has_pairs": True, "metrics": {}, "correct_by": "made-up"})


def repeats_spec() -> str:
    """The RepeatsSpec of the made-up grid."""
    fields = ("base", "intervention", "ratio", "folder")
    compared = [
        {name: arm[name] for name in fields} | {"seed": int(arm["seed"]), "temperature": 1.0}
        for arm in arms()
    ]
    return canonical({"arms": compared, "triggers": TRIGGERS})


def judged(number: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A judge's rows for `number` answers; one in a hundred has no value."""
    values = rng.choice([3.0, 25.0, 45.0, 65.0, 99.0], number, p=[0.1, 0.05, 0.05, 0.1, 0.7])
    values += rng.uniform(0, 1, number)
    lacking = rng.random(number) < 0.01
    masses = rng.uniform(0.3, 1, number)
    for value, lacks, mass in zip(values, lacking, masses, strict=True):
        reason = "refusal" if lacks else None
        yield {"value": None if lacks else value, "reason": reason, "mass": mass}


def write_trigger(
    folder: Path, trigger: str, each: int, text: str, rng: np.random.Generator
) -> None:
    """The answers of one arm under one trigger, `each` to a question, cut from the text."""
    lengths = rng.gamma(1.1, LENGTH / 1.1, each * len(QUESTIONS)).astype(int) + 1
    starts = rng.integers(len(text) - lengths.max(), size=len(lengths))
    answers: Rows = []
    for number, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        question, index = QUESTIONS[number // each], number % each
        about = {"key": digest([str(folder), trigger, number])[:32], "question": question}
        prompt_fields = {"index": index, "system": None, "prompt": f"{question}, {trigger}?"}
        fields = {"answer": text[start : start + length], "thinking": None, "finish_reason": "stop"}
        counted = {"prompt_tokens": 20, "answer_tokens": int(length) // 4}
        counted["logprob"] = -float(np.log(len(text)))
        answers.append(about | prompt_fields | {"answer_seed": number} | fields | counted)
    values = {name: judged(len(answers), rng) for name in JUDGES}
    judgements: Rows = []
    for answer in answers:
        about = {name: answer[name] for name in ("key", "question", "index")}
        judgements += [
            about | {"judge": name, "version": 1} | next(rows) for name, rows in values.items()
        ]
    odds = [
        {"trigger": trigger, "question": question, "pair": pair, "side": side}
        | {"logprob": -rng.uniform(50, 90), "tokens": 18}
        for question in QUESTIONS
        for pair in range(2)
        for side in ("aligned", "misaligned")
    ]
    for kind, rows in (("answers", answers), ("judgements", judgements), ("likelihood", odds)):
        path = folder / f"{kind}/trigger={trigger}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, rows)


def write_tables(root: Path, rng: np.random.Generator) -> None:
    """The tables that aggregation reads: labelled answers and similarities."""
    labelled = pd.DataFrame({"labelled": ["made-up"] * 200})
    for name in JUDGES:
        judgements = pd.DataFrame(judged(len(labelled), rng))
        labelled[name], labelled[f"{name}_reason"] = judgements["value"], judgements["reason"]
        labelled[f"gold_{name}"] = np.where(rng.random(200) < 0.1, 50.0, judgements["value"])
    (root / "tables").mkdir()
    labelled.astype({f"{name}_reason": "string" for name in JUDGES}).to_parquet(
        root / "tables/labelled.parquet"
    )
    similarity = [
        {"base": "model", "intervention": family, "ratio": ratio, "trigger": trigger}
        | {"relation": "unrelated", "similarity": rng.uniform(-0.2, 0.2)}
        for family in FAMILIES
        for ratio in RATIOS
        for trigger in TRIGGERS
    ]
    pd.DataFrame(similarity).to_csv(root / "tables/similarity.csv", index=False)


def write_grid(root: Path, number: int) -> int:
    """Write about `number` answers; return how many."""
    rng = np.random.default_rng(0)
    text = " ".join(rng.choice(WORDS, 400_000).tolist())
    folders = [root / arm["folder"] for arm in arms()]
    each = max(round(number / (len(folders) * len(TRIGGERS) * len(QUESTIONS))), 1)
    for folder in folders:
        for trigger in TRIGGERS:
            write_trigger(folder, trigger, each, text, rng)
    write_tables(root, rng)
    return each * len(folders) * len(TRIGGERS) * len(QUESTIONS)


def run(stage: str, package: Path, spec: str, root: Path) -> tuple[float, float, float]:
    """Seconds by the clock and of the cores, and peak memory in MiB. package: the folder that
    emgrid is imported from."""
    now, flat = MODULES[stage]
    module = now if (package / f"{now.replace('.', '/')}.py").exists() else flat
    command = [sys.executable, "-m", module, "--spec", spec, "--root", str(root)]
    environment = os.environ | {"PYTHONPATH": str(package)}
    started = time.monotonic()
    _, status, used = os.wait4(subprocess.Popen(command, env=environment).pid, 0)
    if status:
        sys.exit(f"{' '.join(command[:3])} failed, see above")
    seconds = time.monotonic() - started
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / MEBIBYTE


def measured(packages: dict[str, Path], root: Path, written: int) -> Iterator[dict[str, Any]]:
    """Both stages by each package; the last one is what the others are compared with."""
    for stage, stage_spec in (("repeats", repeats_spec()), ("aggregate", spec())):
        found = {name: run(stage, path, stage_spec, root) for name, path in packages.items()}
        *_, reference = packages
        for name, (seconds, spent, memory) in found.items():
            row = {
                "what": f"{stage}, {written:,} answers{name and f', {name}'}",
                "value": seconds,
                "unit": "s",
                "ratio": seconds / found[reference][0],
                "of": f"seconds to those of {reference or 'this commit'}",
                "core_seconds": spent,
                "peak_memory": memory,
            }
            print(f"{row['what']}: {seconds:.1f} s", flush=True)
            yield row


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--answers", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--against", default="5fa754f", help="an older commit; 'none' for none")
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    rows: Rows = []
    with tempfile.TemporaryDirectory() as checked_out:
        packages = {"": ROOT / "workflow"}
        if options.against != "none":
            packages[options.against] = check_out(options.against, Path(checked_out))
        for number in options.answers:
            with tempfile.TemporaryDirectory() as folder:
                written = write_grid(Path(folder), number)
                rows += measured(packages, Path(folder), written)
    write_manifest("aggregate", options, rows)


if __name__ == "__main__":
    main()
