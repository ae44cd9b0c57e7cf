"""Run the benchmarks one after the other, and write benchmarks/results.json and README.md.

    python benchmarks/bench.py            # all, an hour or two on two cores
    python benchmarks/bench.py sampling   # one; the others' last records stay
    python benchmarks/bench.py --add grid.json

A table holds what one run measured side by side; compare its ratios, not its numbers, with those of
another machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jinja2
from common import bar_line

HERE = Path(__file__).parent
RECORDS = HERE / "results.json"
NAMES = (
    "sampling",
    "training",
    "judging",
    "grid",
    "setup",
    "commands",
    "scale",
    "aggregate",
    "contrasts",
    "bars",
    "ppi",
)
# What is still to be measured is said of each of these, with the command.
ON_GPUS = {
    "check_gpu": "--device cuda --model-shape 7b",
    "sampling": "--device cuda --model-shape 7b --ways transformers vllm",
    "training": "--device cuda --model-shape 7b --rows 64 --join 12 --batch-size 8 "
    "--max-length 2048",
    "judging": "--device cuda --model-shape 7b",
}


def measure(name: str, words: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        command = [sys.executable, str(HERE / f"{name}.py"), *words, "--json", str(path)]
        subprocess.run(command, check=True)
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def still_to_be_measured(records: dict[str, dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Benchmarks without a record on a CPU, or on a GPU where they have to do with one: name,
    place and command."""
    wanted = [(name, "cpu", "a CPU", "") for name in NAMES]
    wanted += [(name, "cuda", "an NVIDIA GPU", f" {words}") for name, words in ON_GPUS.items()]
    there = {(record["name"], record["on"]) for record in records.values()}
    return [
        (name, place, f"python benchmarks/{name}.py{words}")
        for name, on, place, words in wanted
        if (name, on) not in there
    ]


def besides(row: dict[str, Any]) -> str:
    """What a row shows next to its value."""
    forms = {
        "padding": "padding {:.1%}",
        "peak_memory": "peak memory {:,.0f} MiB",
        "utilisation": "model FLOP utilisation {:.1%}",
        "core_seconds": "{:.1f} s of cores",
        "note": "{}",
    }
    return ", ".join(form.format(row[name]) for name, form in forms.items() if name in row)


def key_of(record: dict[str, Any]) -> str:
    """The name of a record: its benchmark, what it measured if there are several, its device."""
    return f"{' '.join([record['name'], *filter(None, [record.get('of')])])}, {record['device']}"


def page(records: dict[str, dict[str, Any]]) -> str:
    template = (HERE / "README.md.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(  # noqa: S701 (Markdown, not HTML)
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"besides": besides, "bar": bar_line}
    return environment.from_string(template).render(
        records=records, missing=still_to_be_measured(records)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--add", type=Path, nargs="*", help="measure nothing, take these records")
    options, words = parser.parse_known_args()
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
    if options.add is not None:
        measurements = (json.loads(path.read_text(encoding="utf-8")) for path in options.add)
    else:
        measurements = (measure(name, words) for name in options.names)
    for record in measurements:
        records[key_of(record)] = record
        RECORDS.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    (HERE / "README.md").write_text(page(records), encoding="utf-8")


if __name__ == "__main__":
    main()
