"""A grid whose stages compute nothing, and what a run of it computed."""

import copy
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from emgrid import ROOT

from support.run import GridRun

STANDIN = Path(__file__).parent / "standin"
TABLES = ("rates", "contrasts", "verdicts", "likelihood", "judgements")


def config_of(model: Path) -> dict[str, Any]:
    """Every kind of job of the default grid, few of each."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    config["name"] = "quick"
    config["models"] = {"plain": {"path": str(model), "chat_template": "chatml.jinja"}}
    config["base_models"] = ["plain"]
    config["data"]["rows"] = 8
    config["interventions"] = {
        # As often as the others, so that numbers of answers are easy to tell.
        "base": {"sampling": {"answers_per_question": 2}},
        "undiluted": {},
        "dilution": {"ratio": 0.5},
        "sequential": {"benign_rows": 8},
        "benign_only": {},
    }
    config["seeds"] = [3]
    config["triggers"] = ["none", "python_string"]
    config["training"] |= {"epochs": 1, "batch_size": 4, "rank": 4}
    config["sampling"] |= {"answers_per_question": 2}
    config["metrics"]["resamples"] = 100
    return config


class QuickGrid(GridRun):
    """Notes in its journal what is computed."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "journal"
        self.journal.touch()
        path = os.pathsep.join([str(STANDIN), os.environ.get("PYTHONPATH", "")])
        env = {"PYTHONPATH": path, "EMGRID_JOURNAL": str(self.journal)}
        super().__init__(folder, config, env)

    def run(self, *options: str, config: dict[str, Any] | None = None) -> None:
        done = self.snakemake(*options, config=config)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]

    def computed(self) -> list[list[str]]:
        return [line.split() for line in self.journal.read_text().splitlines()]

    def counts(self) -> dict[str, int]:
        """How many trainings, answers, scores and judgements there were."""
        return dict(Counter(words[0] for words in self.computed()))

    def copy_to(self, folder: Path) -> "QuickGrid":
        """A clone elsewhere, with the results copied as `cp -r` does: all times are new."""
        shutil.copytree(self.folder / "results", folder / "results", copy_function=shutil.copyfile)
        return QuickGrid(folder, copy.deepcopy(self.config))

    def tables(self) -> dict[str, bytes]:
        return {name: (self.root / f"tables/{name}.csv").read_bytes() for name in TABLES}
