"""The files of a LoRA adapter: whether they can be read, and what identifies the adapter.

The weights of an adapter that was trained here identify it: other settings would have made other
weights. Elsewhere somebody may have edited adapter_config.json, so there its settings count, too.
Knows nothing of base models.
"""

import json
from pathlib import Path
from typing import Any

from emgrid.models import model_files
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, file_digest, read_json

PICKLE = "adapter_model.bin"
# What is read of an adapter's folder, and of a repository.
READ = (
    layout.ADAPTER_CONFIG,
    layout.WEIGHTS,
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
)


def unusable(folder: Path, links: bool = False) -> str | None:
    """Why no adapter can be read from a folder, and what to do; None if one can. links: its files
    may be links, as those of the Hub's cache are."""
    if not folder.is_dir():
        return "no such folder"
    for name in READ:
        if not links and (folder / name).is_symlink():
            return f"{name} is a symbolic link; copy the folder with `cp -rL`, and name the copy"
    if not (folder / layout.ADAPTER_CONFIG).is_file():
        return f"holds no {layout.ADAPTER_CONFIG}, so it is no adapter in PEFT's format"
    if not (folder / layout.WEIGHTS).is_file():
        pickled = f"holds {PICKLE}, but no " if (folder / PICKLE).exists() else "holds no "
        return (
            f"{pickled}{layout.WEIGHTS}, and only safetensors is read; load the adapter where you "
            "trust it and save it again (peft: save_pretrained)"
        )
    return None


def content(folder: Path) -> model_files.Content:
    """The hash of each file that is read of an adapter's folder, by name; nothing of a folder that
    cannot be read."""
    if unusable(folder):
        return {}
    found = model_files.content(folder)
    return {name: found[name] for name in READ if name in found}


def read_config(folder: Path) -> dict[str, Any]:
    """What adapter_config.json says. EmgridError: it is damaged."""
    path = folder / layout.ADAPTER_CONFIG
    try:
        config = read_json(path)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise EmgridError(f"{path}: is no JSON object; copy the adapter again")
    return config


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of an adapter, by name. EmgridError: the file is damaged."""
    path = folder / layout.WEIGHTS
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError
            header = json.loads(file.read(length))
        return {
            name: tuple(about["shape"]) for name, about in header.items() if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EmgridError(f"{path}: is no file in safetensors; copy the adapter again") from None


def weights_digest(folder: Path) -> str:
    """The hash of an adapter's weights."""
    return file_digest(folder / layout.WEIGHTS)


def identity(folder: Path | None) -> str | None:
    """What an adapter is known by in keys; None of a base model as it is. folder: the adapter's, in
    the folder of its stage or of its import."""
    if folder is None:
        return None
    record = folder.parent / layout.ADAPTER_RECORD
    settings = read_json(record).get("settings") if record.is_file() else None
    return joined(weights_digest(folder), settings)


def recorded_identity(record: Path) -> str:
    """The same from an adapter's record."""
    value = read_json(record)
    return joined(str(value["sha256"]), value.get("settings"))


def joined(weights: str, settings: str | None) -> str:
    return digest([weights, settings]) if settings else weights
