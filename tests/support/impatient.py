"""Snakemake, which asks after its SLURM jobs every second.

The plugin waits ten seconds longer each time that no job has ended, which no option changes.
"""

import asyncio

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def soon(_: RemoteExecutor) -> None:
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = soon
    main()
