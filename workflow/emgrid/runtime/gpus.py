"""Run a command on GPUs that no other job of this machine has.

Snakemake counts GPUs, but hands none out, and outside a cluster nobody sets CUDA_VISIBLE_DEVICES.
So each job takes the lock of as many as it needs and becomes the command, which holds the locks
until it ends, however it ends. Where a scheduler has set CUDA_VISIBLE_DEVICES to no more than that,
nothing is taken.
"""

import argparse
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from emgrid.runtime.errors import EmgridError, run_job

WAIT = 2.0  # seconds between two looks for free GPUs


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as problem:
        raise EmgridError(
            f"device: cuda, but nvidia-smi lists no GPU ({problem}); set `device: cpu`, or "
            "CUDA_VISIBLE_DEVICES"
        ) from None
    return [line.strip() for line in listed.splitlines() if line.strip()]


def claim(devices: list[str], count: int, folder: Path) -> list[str]:
    """Lock so many of the devices, waiting until they are free; the locks outlive an exec."""
    if count > len(devices):
        raise EmgridError(
            f"a job asks for {count} GPUs, {len(devices)} are visible; lower its `gpu` in the "
            "config's resources"
        )
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        held: dict[str, int] = {}
        for device in devices:
            if len(held) == count:
                break
            lock = os.open(folder / device.replace("/", "_"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            os.set_inheritable(lock, True)
            held[device] = lock
        if len(held) == count:
            return list(held)
        for lock in held.values():
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
