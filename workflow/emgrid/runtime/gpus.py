"""Run a command on GPUs that no other job on this machine uses.

Snakemake counts GPUs but does not assign them, and outside a cluster nothing sets
CUDA_VISIBLE_DEVICES. Each job therefore locks as many as it needs and becomes the command, which
holds the locks until it ends, in whatever way. If a scheduler has set CUDA_VISIBLE_DEVICES to
exactly that number, nothing is locked.
"""

import argparse
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import run_job

WAIT = 2.0  # seconds between two attempts


def visible() -> list[str]:
    """The GPUs that this process may use, by their names for CUDA_VISIBLE_DEVICES."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is not None:
        return [name for name in names.split(",") if name]
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        output = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as problem:
        raise EmgridError(
            f"device: cuda, but nvidia-smi lists no GPU ({problem}); set `device: cpu`, or "
            "CUDA_VISIBLE_DEVICES"
        ) from None
    return [line.strip() for line in output.splitlines() if line.strip()]


def claim(devices: list[str], count: int, folder: Path) -> list[str]:
    """Lock `count` of the devices, waiting until they are free. The locks survive an exec."""
    if count > len(devices):
        raise EmgridError(
            f"a job asks for {count} GPUs, but {len(devices)} are visible; lower its `gpu` in the "
            "config's resources"
        )
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        locks: dict[str, int] = {}
        for device in devices:
            if len(locks) == count:
                break
            lock = os.open(folder / device.replace("/", "_"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            os.set_inheritable(lock, True)
            locks[device] = lock
        if len(locks) == count:
            return list(locks)
        for lock in locks.values():
            os.close(lock)
        time.sleep(WAIT)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.runtime.gpus", description=__doc__)
    parser.add_argument("--gpus", required=True, type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    devices = visible()
    if len(devices) != args.gpus:
        folder = Path(tempfile.gettempdir()) / f"emgrid-gpus-{os.getuid()}"
        devices = claim(devices, args.gpus, folder)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    os.execvp(args.command[0], args.command)  # noqa: S606


if __name__ == "__main__":
    run_job(main)
