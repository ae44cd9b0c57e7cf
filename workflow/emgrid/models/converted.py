"""Models converted from GGUF files, once for all grids of a user.

The user's cache holds each conversion in a folder named by the content that it was made of. Weights
are hard-linked into the grids, so they take no space twice on one disk. Knows nothing of how a file
is converted.
"""

import os
import shutil
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from emgrid.models.gguf_file import VERSION, convert_gguf
from emgrid.models.model_files import SHOWN, is_weights
from emgrid.runtime.files import cache_folder, digest, file_digest, link, whole_file


def converted(source: Path, file: str, folder: Path, name: str) -> None:
    """Put the weights and tokenizer of a GGUF file into a folder. name: of the model, for messages.

    Where the cache cannot be written, the file is converted into the folder itself.
    """
    cache = cache_folder("converted") / key(source / file)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache.with_name(f"{cache.name}.lock"))
        # The second of two grids that convert the same file waits for the first.
        with lock:
            if not cache.is_dir():
                convert_into(cache, source, file, name)
    except OSError as problem:
        print(f"{name}: converted without the cache ({problem})", flush=True)
        convert_gguf(source, file, folder, name)
        return
    print(f"{name}: converted weights from {cache}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(cache.iterdir()):
        if is_weights(path.name):
            link(path, folder / path.name)
        else:  # an edit in place of a linked text would change it in all grids
            with whole_file(folder / path.name) as draft:
                shutil.copyfile(path, draft)


def key(path: Path) -> str:
    """What a conversion depends on: the file, and the code that converts it."""
    made_by = [file_digest(path), VERSION, version("transformers"), version("tokenizers")]
    return digest(made_by)[:SHOWN]


def convert_into(cache: Path, source: Path, file: str, name: str) -> None:
    """Convert a file into a folder of the cache, which appears whole."""
    draft = cache.with_name(f".{cache.name}.{os.getpid()}.partial")
    try:
        convert_gguf(source, file, draft, name)
        draft.rename(cache)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
