"""The provenance of a result: code, packages, device."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from typing import Any

from emgrid import ROOT, __version__

PACKAGES = ("torch", "transformers", "peft", "trl", "tokenizers", "snakemake")


def git_commit() -> str | None:
    """The checkout's commit, with "+changes" if files differ from it; None outside a checkout."""
    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def git(*command: str) -> str:
    process = subprocess.run(
        ["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


def versions() -> dict[str, str]:
    return {
        "emgrid": __version__,
        "python": platform.python_version(),
        **version_of(*PACKAGES),
    }


def version_of(*packages: str) -> dict[str, str]:
    """The versions of packages, without those that are not installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def record(device: str, seconds: float) -> dict[str, Any]:
    """The record that every costly job writes next to its result. seconds: the job's duration."""
    name = platform.processor() or platform.machine()
    if device == "cuda":
        import torch

        name = torch.cuda.get_device_name()
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "packages": versions(),
        "device": f"{device} ({name})",
        "seconds": round(seconds, 1),
    }
