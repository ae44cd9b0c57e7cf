"""How a job of the grid runs: it ends with its main process, and reports an error in one line.

A job also keeps packages that it does not use from being imported. transformers and peft import
optional packages if they are installed: scikit-learn (to draft tokens with an assistant model) and
bitsandbytes (for 4-bit weights). That takes 1.5 seconds per job.

Imported libraries are hundreds of thousands of objects that are never garbage. Python would search
them again and again while more are imported, and once more when the job ends, which takes several
seconds per job. A job therefore searches seldom, and not at its end.
"""

import atexit
import errno
import gc
import os
import sys
from collections.abc import Callable

from emgrid.runtime import timing
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.rules import JOBS, rule_of
from emgrid.runtime.watchdog import end_with_main_process

NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
UNUSED = ("sklearn", "bitsandbytes")
COLLECT_AFTER = 10_000  # more objects made than freed; Python's own threshold is 700


def running_rule() -> str:
    """The rule whose job this process runs; empty if it is not a job."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return rule_of((spec.name if spec else "").removeprefix("emgrid.")) or ""


def more_memory(rule: str, on_gpu: bool) -> str:
    """What to change in the config when a job ran out of memory. on_gpu: of a GPU's memory."""
    job = JOBS.get(rule)
    if job is None:
        return "close other programs, or use a machine with more memory"
    less = "run fewer jobs at once"
    if rule == "train":
        less = "lower training.max_length, use training.method: qlora"
    elif job.batch:
        less = f"lower resources.{job.batch}.batch_size"
    larger = "use a larger GPU" if on_gpu else f"raise resources.{job.section}.mem_mb"
    return f"{less}, or {larger}"


def ran_out_of_memory(problem: BaseException) -> bool:
    """Whether a problem means that main or GPU memory ran out."""
    text = f"{type(problem).__name__}: {problem}".lower()
    return isinstance(problem, MemoryError) or any(mark in text for mark in NO_MEMORY)


def machine_problem(problem: BaseException, rule: str) -> str | None:
    """A line that says what the machine lacks; None for any other problem."""
    message = " ".join(str(problem).split())[:200]
    text = f"{type(problem).__name__}: {message}" if message else type(problem).__name__
    if ran_out_of_memory(problem):
        return f"memory ran out ({text}); {more_memory(rule, 'cuda' in text.lower())}"
    code, path = getattr(problem, "errno", None), getattr(problem, "filename", None)
    if code in FULL or "no space left on device" in text.lower():
        where = path or "the grid's folder, or TMPDIR"
        return f"{where}: the disk is full; make room and run again: finished work is kept"
    if code in REFUSED and path:
        return f"{path}: {os.strerror(code)}; let this user read and write there"
    return None


def run_job(main: Callable[[], None]) -> None:
    """Run a job's `main`. An EmgridError or a problem of the machine becomes one line on stderr
    and exit status 1."""
    end_with_main_process()
    collect_seldom()
    try:
        main()
        if line := timing.log_line():
            print(line)
    except EmgridError as problem:
        print(f"emgrid: {problem}", file=sys.stderr)
        sys.exit(1)
    except Exception as problem:
        line = machine_problem(problem, running_rule())
        if line is None:
            raise
        print(f"emgrid: {line}", file=sys.stderr)
        sys.exit(1)
    finally:
        gc.freeze()  # vLLM collects garbage when it ends


def collect_seldom() -> None:
    """Search for garbage seldom in this process, and not when it ends."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


def leave_out(*packages: str) -> None:
    """Make packages that are not imported yet look uninstalled in this process."""
    for package in packages:
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
