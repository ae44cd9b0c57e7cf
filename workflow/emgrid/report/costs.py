"""What the grid cost: time and memory by rule, tokens, and money paid to endpoints."""

from pathlib import Path
from typing import Any

import pandas as pd

from emgrid.config.prices import spent
from emgrid.report.format import duration
from emgrid.report.results import Results
from emgrid.runtime import layout


def time_by_rule(benchmarks: Path) -> list[dict[str, Any]]:
    """Jobs, seconds and peak memory of every rule that Snakemake timed, slowest first."""
    rows = []
    for rule in sorted(
        {path.relative_to(benchmarks).parts[0] for path in benchmarks.rglob("*.tsv")}
    ):
        timings = benchmarks / rule
        files = [timings] if timings.is_file() else sorted(timings.rglob("*.tsv"))
        # Snakemake writes "-" or NA as the memory of a job that was too short to measure.
        runs = pd.concat(pd.read_csv(file, sep="\t", na_values="-") for file in files)
        seconds = float(runs["s"].sum())
        memory = runs["max_rss"].max()
        rows.append(
            {
                "rule": rule.removesuffix(".tsv").replace("_", " "),
                "jobs": len(files),
                "seconds": seconds,
                "time": duration(seconds),
                "memory": "–" if pd.isna(memory) else f"{memory:,.0f} MB",
            }
        )
    return sorted(rows, key=lambda row: -row["seconds"])


def effort(results: Results, root: Path) -> dict[str, Any]:
    """Money in USD, time in words, numbers of tokens (0 if none were counted)."""
    answers = results.answers
    rules = time_by_rule(root / layout.BENCHMARKS)
    arms = results.arms[results.arms["stage"] > 0] if "stage" in results.arms else results.arms
    trained = arms.drop_duplicates("adapter") if "adapter" in arms else arms
    return {
        "cost": spent(root / layout.STORED_JUDGEMENTS),
        "answers_cost": spent(root / layout.STORED_SERVED),
        "rules": rules,
        "time": duration(sum(row["seconds"] for row in rules)),
        "asked_tokens": int(answers["prompt_tokens"].sum()),
        "drawn_tokens": int(answers["answer_tokens"].sum()),
        "trained_tokens": int(trained["trained_tokens"].sum()),
    }
