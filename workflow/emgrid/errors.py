"""Problems that a user can act on."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable

from emgrid import stopwatch
from emgrid.watch import end_with_main_process


class EmgridError(Exception):
    """One line that says what is wrong, where, and what to do."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest, or list them all where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is defined"


# Modules whose jobs have another name in the config's resources, and stages whose batch_size may be
# lowered there.
RESOURCES_OF = {"assets": "model", "datasets": "dataset", "imports": "import", "trial": "train"}
BATCHED = ("generate", "sample", "likelihood", "judge")
NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def running_stage() -> str:
    """The section of the config's resources that the program that runs belongs to."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = (spec.name if spec else "").removeprefix("emgrid.").split(".")[0]
    return RESOURCES_OF.get(name, name)


def machine_problem(problem: BaseException, stage: str) -> str | None:
    """A line on what the machine lacks, or None where the problem is another."""
    said = " ".join(str(problem).split())[:200]
    text = f"{type(problem).__name__}: {said}" if said else type(problem).__name__
    if isinstance(problem, MemoryError) or any(mark in text.lower() for mark in NO_MEMORY):
        less = f"lower resources.{stage}.batch_size"
        if stage == "train":
            less = "lower training.max_length, take method: qlora"
        elif stage not in BATCHED:
            less = "run fewer jobs at once"
        graphics = "cuda" in text.lower()
        more = "take a larger GPU" if graphics else f"raise resources.{stage}.mem_mb"
        return f"memory ran out ({text}); {less}, or {more}"
    code, place = getattr(problem, "errno", None), getattr(problem, "filename", None)
    if code in FULL or "no space left on device" in text.lower():
        where = place or "the grid's folder, or TMPDIR"
        return f"{where}: the disk is full; make room and run again: what is done is kept"
    if code in REFUSED and place:
        return f"{place}: {os.strerror(code)}; let this user read and write there"
    return None


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`; a user's or the machine's problem becomes one line on stderr and exit
    status 1."""
    end_with_main_process()
    try:
        main()
        if line := stopwatch.told():
            print(line)
    except EmgridError as problem:
        print(f"emgrid: {problem}", file=sys.stderr)
        sys.exit(1)
    except Exception as problem:
        line = machine_problem(problem, running_stage())
        if line is None:
            raise
        print(f"emgrid: {line}", file=sys.stderr)
        sys.exit(1)
