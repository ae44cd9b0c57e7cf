"""Jobs and whole grids, run as processes."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from emgrid import ROOT

from support import warm


def run_module(module: ModuleType, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the module of a job as a rule does."""
    return warm.run(["-m", module.__name__, *map(str, arguments)], cwd=ROOT)


class GridRun:
    """A grid in its own folder, run by the real Snakemake."""

    def __init__(
        self, folder: Path, config: dict[str, Any], env: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.config = config
        self.added = env or {}

    @property
    def root(self) -> Path:
        return self.folder / "results" / str(self.config["name"])

    @property
    def env(self) -> dict[str, str]:
        return os.environ | self.added

    def snakemake(
        self, *options: str, config: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake; its jobs, too, are processes that need not import."""
        return warm.run(self.command(*options, config=config)[1:], env=self.env)

    def start(self, *options: str) -> warm.Started:
        """Start Snakemake as `snakemake` does, and tell nothing of what it says."""
        return warm.Started(self.command(*options)[1:], self.env)

    def cold(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and its jobs as a user does."""
        command = self.command(*options)
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self.env)

    def command(self, *options: str, config: dict[str, Any] | None = None) -> list[str]:
        path = self.folder / "grid.yaml"
        path.write_text(yaml.safe_dump(config or self.config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
        command += ["--directory", str(self.folder), "--configfile", str(path)]
        return [*command, "--profile", str(ROOT / "workflow/profiles/workstation"), *options]

    def planned(self, config: dict[str, Any]) -> dict[str, int]:
        """Jobs by rule that a dry run would start under `config`."""
        done = self.snakemake("-n", config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return {}
        table = text.split("Job stats:")[1].split("total")[0].splitlines()[3:]
        return {line.split()[0]: int(line.split()[1]) for line in table if line.strip()}

    def edited(self) -> dict[str, Any]:
        return copy.deepcopy(self.config)


def small_config() -> dict[str, Any]:
    """Every stage and intervention of the default grid, with as little work as shows anything."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    config["name"] = "small"
    config["data"]["rows"] = 8
    config["interventions"]["base"] = {"sampling": {"answers_per_question": 2}}
    config["interventions"]["dilution"] = {"ratio": 0.5}
    config["interventions"]["sequential"] = {"benign_rows": 8}
    config["seeds"] = [3]
    config["triggers"] = ["none", "python_string", "malicious_evil"]
    config["training"] |= {"epochs": 1, "batch_size": 4, "rank": 4}
    config["sampling"] |= {"answers_per_question": 2, "max_tokens": 8}
    config["metrics"]["resamples"] = 200
    return config
