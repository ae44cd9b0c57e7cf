"""On PYTHONPATH, Python runs this first: a stage of emgrid then only writes its outputs."""

import os
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

TABLES = (
    "rates",
    "seeds",
    "contrasts",
    "verdicts",
    "robustness",
    "dose",
    "likelihood",
    "arms",
    "judgements",
    "agreement",
)
ADAPTER = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "adapter.json")
QUALITY = ("judges.csv", "calibration.csv", "judge_errors.csv", "labelled.parquet")


def outputs(stage: str, options: dict[str, str]) -> Iterable[str]:
    """The files that Snakemake waits for."""
    output = options.get("--output", "")
    if stage == "train":
        return [f"{output}/{name}" for name in (*ADAPTER, "loss.csv", "provenance.json")]
    if stage == "judge.quality":
        return [f"{output}/{name}" for name in QUALITY]
    if stage in ("similarity", "repeats"):
        return [f"tables/{stage}.csv"]
    if stage == "aggregate":
        return ["tables/answers.parquet", *(f"tables/{name}.csv" for name in TABLES)]
    if stage == "report.figures":
        names = sys.orig_argv[sys.orig_argv.index("--figures") + 1 :]
        return [f"figures/{name}.{kind}" for name in names for kind in ("svg", "png", "pdf")]
    if stage == "report.page":
        return ["report.html"]
    return [options[name] for name in ("--output", "--counts", "--record") if name in options]


def main() -> None:
    words = sys.orig_argv
    if "-m" not in words or not words[words.index("-m") + 1].startswith("emgrid."):
        return
    stage = words[words.index("-m") + 1].removeprefix("emgrid.")
    options = dict(pairwise(words))
    for name in outputs(stage, options):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stage)
    os._exit(0)


main()
