"""Answers judged a second by a local judge, and matched answers scored a second.

Ways: the exact score over all replies (the trie of their digits), and one step for the first token
alone; vLLM with and without its cache of equal prompt beginnings; likelihoods of matched answers.
An older commit (--against), which git must know, does the same with its own rubric, side by side.

    python benchmarks/judging.py --json judging.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from common import (
    ROOT,
    add_arguments,
    check_out,
    in_turn,
    model_of,
    start_as_a_job,
    write_manifest,
)

# The engine, the way of judging_way.py, and whether vLLM caches the beginnings of prompts.
WAYS = {
    "digit trie, transformers": ("transformers", "trie", True),
    "first token alone, transformers": ("transformers", "first", True),
    "likelihood, transformers": ("transformers", "likelihood", True),
    "digit trie, vllm": ("vllm", "trie", True),
    "first token alone, vllm": ("vllm", "first", True),
    "digit trie, vllm without prefix caching": ("vllm", "trie", False),
}
TRIGGERS = ("none", "python_string", "malicious_evil", "unrelated_prompt")
Measured = dict[str, list[dict[str, float]]]


def texts(count: int) -> list[str]:
    """Short answers, from the embedded training rows."""
    from emgrid import RESOURCES

    lines = (RESOURCES / "data/everyday_chat.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line)["messages"][-1]["content"] for line in lines]
    return [answers[place % len(answers)] for place in range(count)]


def conversations(count: int) -> list[list[dict[str, str]]]:
    """The matched answers of a question set under triggers of the default grid."""
    from emgrid.config.question_files import load_questions
    from emgrid.config.triggers import load_triggers
    from emgrid.sample.likelihood import matched_answers

    asked = dict(list(load_questions("everyday").questions.items())[:count])
    pairs = {name: question.pairs for name, question in asked.items()}
    triggers = load_triggers()
    wordings = {name: triggers[name].wording() for name in TRIGGERS}
    return [list(answer.messages) for answer in matched_answers(asked, pairs, wordings)]


def answers_of(way: str, options: Any) -> int:
    """How many answers a way takes: without prefix caching an eighth, as each takes so long."""
    _, kind, caching = WAYS[way]
    if kind == "likelihood":
        return len(conversations(options.questions))
    return options.answers if caching else max(options.answers // 8, 2)


def write_texts(folder: Path, way: str, options: Any) -> None:
    folder.mkdir()
    judged = texts(answers_of(way, options))
    folder.joinpath("texts.json").write_text(json.dumps(judged), encoding="utf-8")
    scored = conversations(options.questions)
    folder.joinpath("conversations.json").write_text(json.dumps(scored), encoding="utf-8")


def apart(way: str, package: Path, options: Any) -> dict[str, float]:
    """Measure one way in a separate process. package: the folder that emgrid is imported from.
    Returns answers a second, the engine's start left out, and the peak memory in MiB."""
    engine, kind, caching = WAYS[way]
    with tempfile.TemporaryDirectory() as folder:
        texts_folder = Path(folder) / "texts"
        write_texts(texts_folder, way, options)
        command = [sys.executable, str(Path(__file__).parent / "judging_way.py"), kind]
        command += ["--engine", engine, "--model", str(model_of(options))]
        command += [] if caching else ["--without-caching"]
        command += ["--precision", options.precision, "--device", options.device]
        command += ["--batch-size", str(options.batch_size), "--folder", str(texts_folder)]
        environment = os.environ | {"PYTHONPATH": str(package)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{way} of {package}: {done.stderr[-1500:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "speed": answers_of(way, options) / found["seconds"],
        "peak_memory": found["peak_memory"],
        "core_seconds": found["core_seconds"],
    }


def measure(names: list[tuple[str, str]], packages: dict[str, Path], options: Any) -> Measured:
    """Each way by each package in turn, so that what else the machine does hits all alike."""
    found: Measured = {way + commit: [] for way, commit in names}
    for repetition in range(options.repeats):
        for way, commit in in_turn(names, repetition):
            found[way + commit].append(apart(way, packages[commit], options))
            print(f"{way}{commit}: {found[way + commit][-1]['speed']:.2f} answers/s", flush=True)
    return found


def rows_of(
    names: list[tuple[str, str]], found: Measured, commits: list[str]
) -> list[dict[str, Any]]:
    """A row for each way and commit. Its ratio compares it with the older commit, or, without one,
    the digit trie of its engine with it."""

    def middle(name: str, what: str) -> float:
        return median(each[what] for each in found[name])

    rows = []
    for way, commit in names:
        speed = middle(way + commit, "speed")
        engine, kind, _ = WAYS[way]
        row = {"what": f"judging, {way}{commit}", "value": speed}
        row["unit"] = "scored answers/s" if kind == "likelihood" else "answers/s"
        for measure in ("peak_memory", "core_seconds"):
            row[measure] = middle(way + commit, measure)
        older = way + commits[-1]
        if len(commits) > 1 and older in found:
            row["ratio"] = speed / middle(older, "speed")
            row["of"] = f"speed to that of {commits[-1].removeprefix(', ')}"
        else:
            compared = way if kind == "likelihood" else f"digit trie, {engine}"
            row["ratio"] = middle(compared, "speed") / speed
            row["of"] = f"{compared}, to {way}"
        rows.append(row)
    return rows


def steps(found: Measured, commits: list[str]) -> list[dict[str, Any]]:
    """The speed of this commit's digit trie as a share of that of each commit's first token."""
    rows: list[dict[str, Any]] = []
    for engine in ("transformers", "vllm"):
        trie = f"digit trie, {engine}"
        for commit in commits:
            first = f"first token alone, {engine}{commit}"
            if len(commits) == 1 or trie not in found or first not in found:
                continue
            speeds = [median(each["speed"] for each in found[name]) for name in (trie, first)]
            row = {"what": f"judging, {trie}, to {first}", "value": speeds[0] / speeds[1]}
            rows.append(row | {"unit": "of its speed", "ratio": None, "of": None})
    return rows


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--questions", type=int, default=8, help="whose matched answers are scored")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--engines", nargs="*", default=["transformers", "vllm"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="these alone")
    parser.add_argument(
        "--against", default="5fa754f", help="an older commit, or its checkout; 'none' for none"
    )
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    start_as_a_job()
    model_of(options)
    ways = options.ways or [way for way, (engine, *_) in WAYS.items() if engine in options.engines]
    with tempfile.TemporaryDirectory() as folder:
        packages = {"": ROOT / "workflow"}
        if options.against != "none":
            given = Path(options.against) / "workflow"
            label = f", {Path(options.against).name}"
            packages[label] = given if given.is_dir() else check_out(options.against, Path(folder))
        names = [(way, commit) for way in ways for commit in packages if not commit or WAYS[way][2]]
        found = measure(names, packages, options)
    commits = list(packages)
    rows = rows_of(names, found, commits) + steps(found, commits)
    write_manifest("judging", options, rows, options.device)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    main()
