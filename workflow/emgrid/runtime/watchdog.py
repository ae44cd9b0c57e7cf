"""No job outlives the Snakemake that started it.

Ctrl-C reaches a whole process group by itself; a Snakemake that is killed tells nobody. So each
job watches that process, and ends with it: what it had drawn is on disk, and a grid that is started
again must not meet a second writer.
"""

import os
import select
import signal
import threading
import time

# The process id of the Snakemake that parsed the Snakefile last, here or on a cluster's node.
MAIN = "EMGRID_MAIN_PROCESS"
GRACE = 5.0  # seconds


def announce() -> None:
    """Let the jobs that this process starts know it."""
    os.environ[MAIN] = str(os.getpid())


def end_with_main_process() -> None:
    """Watch, in the background, the process that was announced; when it is gone, end this one.

    Does nothing where none was announced (a stage that is run by hand), or where the system has no
    such file descriptors (they are Linux's).
    """
    main = os.environ.get(MAIN)
    if main is None or not hasattr(os, "pidfd_open"):
        return
    try:
        process = os.pidfd_open(int(main))
    except ProcessLookupError:
        end()
    threading.Thread(target=wait_and_end, args=(process,), daemon=True).start()


def wait_and_end(process: int) -> None:
    select.select([process], [], [])
    end()


def end() -> None:
    """End as a terminated process does; hard, where that is not heard."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
