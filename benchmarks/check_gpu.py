"""Try on an NVIDIA GPU what emgrid does on one, in at most 8 minutes, without a network.

Parts: training in bfloat16 (tokens a second, model FLOP utilisation, peak memory), a training that
is killed and resumed, sampling with three adapters by the transformers engine and by vLLM, each
with the canary, judging by the tree of replies, and QLoRA. They run emgrid's own stages on a model
of 7B shape with random weights, which is made on the GPU. Each part runs in processes of its own
with a time limit; one that cannot run says why in one line. Without a GPU the same is done on the
CPU at toy size, which measures nothing.

    python benchmarks/check_gpu.py --json check_gpu.json
    python benchmarks/bench.py --add check_gpu.json    # into benchmarks/README.md
"""

import argparse
import importlib.metadata
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "workflow"))

from common import SHAPES, drawn_models, record_of
from gpu_parts import PACKAGES, PARTS, Check, NotRun, Row

# Package, first version that is known to do, and the first one that has not been tried.
VERSIONS = {
    "torch": ((2, 11), (2, 14)),
    "transformers": ((5, 17), (6, 0)),
}
# What emgrid imports on the way; names on PyPI by those of modules.
NEEDED = {
    "torch": "torch", "transformers": "transformers", "peft": "peft", "trl": "trl",
    "datasets": "datasets", "safetensors": "safetensors", "pydantic": "pydantic",
    "yaml": "pyyaml", "filelock": "filelock", "tqdm": "tqdm", "gguf": "gguf",
}  # fmt: skip


def unmet() -> list[str]:
    """A line for each thing that is missing or too old, with what to do."""
    absent = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    lines = [f"not installed: pip install {' '.join(absent)}"] if absent else []
    for package, (first, _) in VERSIONS.items():
        if package not in absent and release(package) < first:
            lines.append(
                f"{package} {importlib.metadata.version(package)} is too old: "
                f"pip install '{package}>={first[0]}.{first[1]}'"
            )
    return lines


def untried() -> list[str]:
    return [
        f"{package} {importlib.metadata.version(package)} is newer than what was tried "
        f"(below {last[0]}.{last[1]})"
        for package, (_, last) in VERSIONS.items()
        if release(package) >= last
    ]


def release(package: str) -> tuple[int, int]:
    major, minor, *_ = importlib.metadata.version(package).split(".")
    return int(major), int(minor)


def run(options: argparse.Namespace, folder: Path) -> tuple[list[Row], list[dict[str, Any]]]:
    """The rows of all parts, and the parts without any: name, reason, whether it was tried."""
    check, rows, not_run = Check(options, folder), [], []
    end = time.monotonic() + 60 * options.minutes

    def attempt(name: str, minutes: float, part: Any) -> bool:
        started = time.monotonic()
        check.until = min(started + 60 * minutes, end)
        try:
            if started >= end:
                raise NotRun(f"the {options.minutes:g} minutes were over", failed=False)
            found = part(check)
        except NotRun as reason:
            not_run.append({"part": name, "reason": str(reason), "failed": reason.failed})
            print(f"{name}: not run: {reason}", flush=True)
            return False
        rows.extend(found)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        return True

    if attempt("model", 2, draw):
        for name in options.parts:
            if lacking := missing_package(name):
                not_run.append({"part": name, "reason": lacking, "failed": False})
            else:
                attempt(name, *PARTS[name])
    return rows, not_run


def draw(check: Check) -> list[Row]:
    options = check.options
    shapes = dict.fromkeys([options.model_shape, "toy"])  # the toy judges on both devices
    for shape in shapes:
        words = ["--device", options.device, "--model-shape", shape]
        check.end(check.begin("-m", "gpu_model", *words))
    return []


def missing_package(part: str) -> str | None:
    """What to install for a part; None if nothing is missing."""
    if part not in PACKAGES:
        return None
    package, how = PACKAGES[part]
    return None if importlib.util.find_spec(package) else f"{package} is not installed: {how}"


def table(rows: list[Row], not_run: list[dict[str, Any]]) -> str:
    from bench import besides

    cells = [(row["what"], f"{row['value']:,.4g} {row['unit']}", besides(row)) for row in rows]
    cells += [
        (one["part"], "failed" if one["failed"] else "not run", one["reason"]) for one in not_run
    ]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in cells)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--model-shape", choices=("auto", *SHAPES), default="auto")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU, where it is not known")
    return parser.parse_args(words)


def settle(options: argparse.Namespace) -> None:
    """Set the device and the shape that are left to what the machine has."""
    import torch

    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
        if options.device == "cpu":
            print("torch sees no CUDA device: toy size on the CPU, which measures nothing")
    if options.model_shape == "auto":
        options.model_shape = "7b" if options.device == "cuda" else "toy"


def main() -> None:
    options = parse()
    if lines := unmet():
        sys.exit("\n".join(f"check_gpu: {line}" for line in lines))
    for line in untried():
        print(line)
    settle(options)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="emgrid-check-") as folder:
        rows, not_run = run(options, Path(folder))
    print(table(rows, not_run))
    seconds = time.monotonic() - started
    print(f"{seconds / 60:.1f} minutes; the models stay in {drawn_models()} for the next time")
    record = record_of("check_gpu", options, rows, options.device, not_run=not_run)
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if any(one["failed"] for one in not_run):
        sys.exit(1)


if __name__ == "__main__":
    main()
