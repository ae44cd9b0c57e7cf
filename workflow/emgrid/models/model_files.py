"""The files of a base model's folder: whether a model can be loaded from them, and their hashes.

A user's model counts by content. The user's cache stores hashes with each file's size and times, so
that weights of many gigabytes are read once, not by every command and job. Knows nothing of the
content of the files.
"""

import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, file_digest, read_json, write_json

Content = dict[str, str]
PLACE = "place.json"  # where a user's model is, beside its record

# What transformers, tokenizers and vLLM read of a model's folder.
READ = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "*.tiktoken",
    "*.txt",
    "additional_chat_templates/*.jinja",
)
# What trainers and people leave beside a model, which nothing reads.
UNREAD = {
    "all_results.json",
    "eval_results.json",
    "model.json",
    "place.json",
    "requirements.txt",
    "train_results.json",
    "trainer_state.json",
}
TEXTS = ("LICENSE", "LICENCE", "NOTICE", "README", "USE_POLICY")
TOKENIZERS = ("tokenizer.json", "*.model", "vocab.json", "vocab.txt", "*.tiktoken")
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf")
SHOWN = 32  # hexadecimal digits of a hash: 128 bits, which no two files share by accident
FRESH = 2.0  # seconds in which a file may be written again without another time of change
LARGE = 2_000_000_000  # bytes above which the user hears that they are read


# By file: what it looked like when this process hashed it, and the hash, for where no cache can be
# written.
HERE: dict[Path, list[Any]] = {}


def read_files(folder: Path) -> dict[str, Path]:
    """The files that loading the model may read, by their names below the folder."""
    found = {
        str(path.relative_to(folder)): path
        for pattern in READ
        for path in folder.glob(pattern)
        if not path.name.startswith((".", *TEXTS)) and path.name not in UNREAD
    }
    return dict(sorted(found.items()))


def unusable(folder: Path) -> str | None:
    """Why no base model can be loaded from a folder, with what to do; None if one can."""
    if not folder.is_dir():
        return "no such folder"
    if (folder / "adapter_config.json").exists():
        return (
            "holds adapter_config.json, so it is an adapter, not a base model; merge the adapter "
            "into its base (peft: merge_and_unload, then save_pretrained, with the base's "
            "tokenizer) and name that folder, or train the adapter here as an intervention"
        )
    if not (folder / "config.json").is_file():
        return "holds no config.json, so transformers cannot load a model from it"
    if problem := lacks_weights(folder):
        return problem
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        return "holds no tokenizer (tokenizer.json, or the files of an older kind); copy it there"
    return None


def lacks_weights(folder: Path) -> str | None:
    """What is wrong with the weights of a folder, None if they are whole and in safetensors."""
    if (folder / WHOLE).is_file():
        return None  # transformers takes it, whatever an index says that may be of other weights
    index = folder / INDEX
    if index.is_file():
        try:
            shards = sorted(set(read_json(index)["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError):
            return f"holds a damaged {INDEX}; copy or download it again"
        lacking = [name for name in shards if not (folder / name).is_file()]
        return f"lacks {lacking[0]}, which {INDEX} names; copy it there" if lacking else None
    if any(not path.name.startswith("adapter_") for path in folder.glob("*.safetensors")):
        return None
    others = [path.name for pattern in OTHER_WEIGHTS for path in sorted(folder.glob(pattern))]
    if others:
        return (
            f"holds {others[0]}, but no weights in safetensors, the only format that is read; load "
            "the model where you trust it and save it again (transformers: save_pretrained)"
        )
    return "holds no weights (*.safetensors)"


def content(folder: Path, weights: bool = True) -> Content:
    """The hash of each file of a model's folder, by its name. weights: those in safetensors, too.

    Files that have not changed since they were last hashed are not read again.
    """
    files = read_files(folder)
    files = {name: path for name, path in files.items() if weights or not is_weights(name)}
    if not files:
        raise EmgridError(f"no model files in {folder}; check the model's `path`")
    now = time.time()
    try:
        seen = {name: stamp(path) for name, path in files.items()}
        known = Known(folder)
        missing = {name: files[name] for name in files if known.hash(name, seen[name]) is None}
        hashes = hashed(missing, folder)
    except OSError as problem:
        raise EmgridError(f"{problem.filename}: cannot be read ({problem.strerror})") from None
    found = {name: hashes.get(name) or str(known.hash(name, seen[name])) for name in files}
    if missing:
        # A file just written may yet be written again within the clock's resolution.
        settled = {name: one for name, one in seen.items() if now - one[2] / 1e9 > FRESH}
        known.keep({name: [*one, found[name]] for name, one in settled.items()})
    return found


def is_weights(name: str) -> bool:
    """Whether a file holds weights, which a tokenizer does not read."""
    return name.endswith(".safetensors")


def stamp(path: Path) -> list[int]:
    """What changes with a file's content: size, times of writing and of change. Device and inode
    are left out: network file systems may number them otherwise on each machine."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def hashed(files: Mapping[str, Path], folder: Path) -> Content:
    """Read files and hash them, several at a time."""
    total = sum(path.stat().st_size for path in files.values())
    if total > LARGE:
        what = f"hashing the files of {folder} ({total / 1e9:.0f} GB)"
        print(f"emgrid: {what}; unchanged ones are not read again", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(file_digest, files.values())
        return {name: one[:SHOWN] for name, one in zip(files, found, strict=True)}


class Known:
    """The hashes of a folder's files that were computed before, by this process or in the user's
    cache. A cache that cannot be read or written, or is damaged, counts as empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.path = cache_folder() / f"{digest(str(folder.resolve()))[:SHOWN]}.json"
        try:
            entries = read_json(self.path)
        except (OSError, ValueError):
            entries = {}
        self.entries: dict[str, Any] = entries if isinstance(entries, dict) else {}

    def hash(self, name: str, seen: list[int]) -> str | None:
        """The hash of a file that still looks as it did."""
        for entry in (HERE.get(self.folder / name), self.entries.get(name)):
            if isinstance(entry, list) and len(entry) == len(seen) + 1 and entry[:-1] == seen:
                return str(entry[-1])
        return None

    def keep(self, entries: dict[str, list[Any]]) -> None:
        """Keep entries, beside those of files that nobody asked for this time."""
        HERE.update({self.folder / name: entry for name, entry in entries.items()})
        try:
            write_json(self.path, self.entries | entries)
        except OSError:
            return


def cache_folder() -> Path:
    """Where hashes are stored (XDG base directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", ".")) / ".cache"
    return Path(home) / "emgrid/model-files"


def changed(before: Content, now: Content) -> str | None:
    """The first file that differs between two contents, with what happened to it."""
    for name in sorted({*before, *now}):
        if name not in now:
            return f"{name} is gone"
        if name not in before:
            return f"{name} is new"
        if before[name] != now[name]:
            return f"{name} has changed"
    return None


def find(record_folder: Path) -> Path:
    """Where a user's model was when its grid was last run."""
    try:
        return Path(read_json(record_folder / PLACE)["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise EmgridError(f"{record_folder / PLACE}: not readable; run the grid again") from None


def note_place(record_folder: Path, folder: Path) -> None:
    """Write where a user's model is, beside its record. The record itself holds no path, so that it
    stays the same, and nothing runs again, when the user moves the model."""
    try:
        noted = find(record_folder)
    except EmgridError:  # none yet, or damaged
        noted = None
    if noted != folder.resolve():
        write_json(record_folder / PLACE, {"path": str(folder.resolve())})
