"""No job outlives the Snakemake that started it.

Ctrl-C reaches the whole process group, but a killed Snakemake cannot notify its jobs. Each job
therefore watches its Snakemake process and exits with it. Its rows are on disk, and when the grid
is started again there must be no second writer.
"""

import os
import select
import signal
import threading
import time

# The process id of the Snakemake that last parsed the Snakefile, here or on a cluster's node.
MAIN = "EMGRID_MAIN_PROCESS"
GRACE = 5.0  # seconds


def announce() -> None:
    """Tell the jobs that this process starts to watch it."""
    os.environ[MAIN] = str(os.getpid())


def end_with_main_process() -> None:
    """Watch the announced process in the background, and exit when it is gone.

    Does nothing if none was announced (a job that is run by hand), or without pidfd_open, which
    only Linux has.
    """
    main = os.environ.get(MAIN)
    if main is not None:
        end_with(int(main))


def end_with(main: int) -> None:
    """Watch a process in the background, and exit when it is gone. main: its id."""
    if not hasattr(os, "pidfd_open"):
        return
    try:
        process = os.pidfd_open(main)
    except ProcessLookupError:
        end()
    threading.Thread(target=wait_and_end, args=(process,), daemon=True).start()


def wait_and_end(process: int) -> None:
    select.select([process], [], [])
    end()


def end() -> None:
    """Exit by SIGTERM, or by SIGKILL if that does not work within GRACE."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
