"""The files of a base model's folder: whether a model can be loaded from them, and their hashes.

A user's model is identified by its content. A cache in the user's home stores each file's hash with
its size and times, so that many gigabytes of weights are read once, not by every command and job.
Knows nothing of what the files mean.
"""

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import cache_folder, digest, file_digest, read_json, write_json

Content = dict[str, str]
PLACE = "place.json"  # holds the path of a user's model, next to its record

# Files that transformers, tokenizers and vLLM read from a model's folder.
READ = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "*.tiktoken",
    "*.txt",
    "additional_chat_templates/*.jinja",
)
# Files that trainers and people leave next to a model and nothing reads.
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
FRESH = 2.0  # seconds within which a rewritten file may keep the same modification time
LARGE = 2_000_000_000  # bytes above which hashing is announced


# By file: its stamp when this process hashed it, and the hash; used if no cache can be written.
HASHED_HERE: dict[Path, list[Any]] = {}


def read_files(folder: Path) -> dict[str, Path]:
    """The files that may be read to load the model, by their path relative to the folder."""
    files = {
        str(path.relative_to(folder)): path
        for pattern in READ
        for path in folder.glob(pattern)
        if not path.name.startswith((".", *TEXTS)) and path.name not in UNREAD
    }
    return dict(sorted(files.items()))


def unusable(folder: Path) -> str | None:
    """Why no base model can be loaded from a folder, and what to do; None if one can."""
    if not folder.is_dir():
        return "no such folder"
    if (folder / "adapter_config.json").exists():
        return (
            "holds adapter_config.json, so it is an adapter, not a base model; name it in "
            "`adapters`, which makes an arm of it, or merge it into its base (peft: "
            "merge_and_unload, then save_pretrained, with the base's tokenizer)"
        )
    if not (folder / "config.json").is_file():
        return "holds no config.json, so transformers cannot load a model from it"
    if problem := lacks_weights(folder):
        return problem
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        return "holds no tokenizer (tokenizer.json, or the files of an older kind); copy it there"
    return None


def lacks_weights(folder: Path) -> str | None:
    """What is wrong with a folder's weights; None if they are complete and in safetensors."""
    if (folder / WHOLE).is_file():
        return None  # transformers prefers it to an index, which may be of other weights
    index = folder / INDEX
    if index.is_file():
        try:
            shards = sorted(set(read_json(index)["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError):
            return f"holds a damaged {INDEX}; copy or download it again"
        missing = [name for name in shards if not (folder / name).is_file()]
        return f"lacks {missing[0]}, which {INDEX} names; copy it there" if missing else None
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
    """The hash of each file of a model's folder, by name. weights: include safetensors files.

    Files that have not changed since they were last hashed are not read again.
    """
    files = read_files(folder)
    files = {name: path for name, path in files.items() if weights or not is_weights(name)}
    if not files:
        raise EmgridError(f"no model files in {folder}; check the model's `path`")
    now = time.time()
    try:
        stamps = {name: stamp(path) for name, path in files.items()}
        cache = HashCache(folder)
        missing = {name: files[name] for name in files if cache.hash(name, stamps[name]) is None}
        hashes = hashed(missing, folder)
    except OSError as problem:
        raise EmgridError(f"{problem.filename}: cannot be read ({problem.strerror})") from None
    contents = {name: hashes.get(name) or str(cache.hash(name, stamps[name])) for name in files}
    if missing:
        # A file just written may be rewritten within the clock's resolution.
        settled_stamps = {
            name: file_stamp
            for name, file_stamp in stamps.items()
            if now - file_stamp[2] / 1e9 > FRESH
        }
        cache.keep(
            {name: [*file_stamp, contents[name]] for name, file_stamp in settled_stamps.items()}
        )
    return contents


def is_weights(name: str) -> bool:
    """Whether a file holds weights, which tokenizers do not read."""
    return name.endswith(".safetensors")


def stamp(path: Path) -> list[int]:
    """A file's size, modification time and change time. Device and inode are left out, because
    network file systems may number them differently on each machine."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def hashed(files: Mapping[str, Path], folder: Path) -> Content:
    """Hash files, several at a time."""
    total = sum(path.stat().st_size for path in files.values())
    if total > LARGE:
        activity = f"hashing the files of {folder} ({total / 1e9:.0f} GB)"
        print(f"emgrid: {activity}; unchanged ones are not read again", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(4) as pool:
        hashes = pool.map(file_digest, files.values())
        return {name: file_hash[:SHOWN] for name, file_hash in zip(files, hashes, strict=True)}


class HashCache:
    """Hashes of a folder's files from this process and from the user's cache. A cache that is
    damaged, unreadable or not writable counts as empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.path = cache_folder("model-files") / f"{digest(str(folder.resolve()))[:SHOWN]}.json"
        try:
            entries = read_json(self.path)
        except (OSError, ValueError):
            entries = {}
        self.entries: dict[str, Any] = entries if isinstance(entries, dict) else {}

    def hash(self, name: str, file_stamp: list[int]) -> str | None:
        """The stored hash of a file whose stamp has not changed, else None."""
        for entry in (HASHED_HERE.get(self.folder / name), self.entries.get(name)):
            if (
                isinstance(entry, list)
                and len(entry) == len(file_stamp) + 1
                and entry[:-1] == file_stamp
            ):
                return str(entry[-1])
        return None

    def keep(self, entries: dict[str, list[Any]]) -> None:
        """Store entries (stamp and hash by file), besides those that the cache already has."""
        HASHED_HERE.update({self.folder / name: entry for name, entry in entries.items()})
        try:
            write_json(self.path, self.entries | entries)
        except OSError:
            return


def changed(before: Content, now: Content) -> str | None:
    """The first file that differs between two contents, and how; None if they are equal."""
    for name in sorted({*before, *now}):
        if name not in now:
            return f"{name} is gone"
        if name not in before:
            return f"{name} is new"
        if before[name] != now[name]:
            return f"{name} has changed"
    return None


def find(record_folder: Path) -> Path:
    """The folder of a user's model when its grid was last run."""
    try:
        return Path(read_json(record_folder / PLACE)["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise EmgridError(f"{record_folder / PLACE}: not readable; run the grid again") from None


def record_location(record_folder: Path, folder: Path) -> None:
    """Write the path of a user's model next to its record. The record itself holds no path, so
    nothing runs again when the user moves the model."""
    try:
        recorded = find(record_folder)
    except EmgridError:  # missing or damaged
        recorded = None
    if recorded != folder.resolve():
        write_json(record_folder / PLACE, {"path": str(folder.resolve())})
