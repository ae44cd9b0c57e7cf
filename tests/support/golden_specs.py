"""Make specs.json: what every rule's jobs are identified by, of config.yaml and all ready grids.

A finished grid runs again where one of these changes, so a change is made on purpose, and named in
the changelog. Write the file anew with: PYTHONPATH=workflow:tests python -m support.golden_specs
"""

import copy
import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from emgrid import ROOT
from emgrid.config import models
from emgrid.grid.engine_choice import Machine
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.snakefile import read_grid
from emgrid.judge.context import JudgeContext
from emgrid.judge.judge import identity
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import folder_name, key_of
from emgrid.models import gguf_file
from emgrid.planning.inventory import Inventory
from emgrid.runtime.files import canonical, write_json, write_text

from support.specs_of import specs_of

FILE = ROOT / "tests/grid/specs.json"
GRIDS = [
    ROOT / "config.yaml",
    ROOT / "tests/support/everyday.yaml",
    *sorted((ROOT / "resources/grids").glob("*.yaml")),
]
# It names the package's texts; the page is made again in seconds.
TEXTS = {"report"}


def hashed(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def specs() -> dict[str, dict[str, str]]:
    """A hash of each rule's specs, by grid."""
    found = {}
    for path in GRIDS:
        made = specs_of(read_grid(path, Machine()))
        found[path.stem] = {rule: hashed(made[rule]) for rule in made if rule not in TEXTS}
    return found


def keys() -> dict[str, Any]:
    """What rows of one arm, its training and its judgements are stored under."""
    config: dict[str, Any] = copy.deepcopy(
        yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    )
    config |= {"interventions": {"undiluted": {}}, "seeds": [0]}
    grid = Grid(load_experiment(config, "config.yaml", check_data=False))
    [arm] = grid.arms
    [stage] = grid.stages.values()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_json(
            root / "assets/models/smollm2-135m/model.json",
            {
                "name": "smollm2-135m",
                "path": ".",
                "revision": None,
                "chat_template": models.template_text(models.load_models()["smollm2-135m"]),
                "eos_token_ids": [2],
                "tokenizer": gguf_file.VERSION,
            },
        )
        write_json(root / stage.adapter_record, {"sha256": "of the adapter"})
        write_text(root / stage.folder / "train.jsonl", "{}\n")
        inventory = Inventory(grid, root)
        model = inventory.model_id(arm)
        item = Item("found_purse", "Whose is it?", "Mine.")
        bench = JudgeContext(root, "")
        return {
            "stages": list(grid.stages),
            "arm": arm.folder,
            "model": model,
            "training": inventory.training_name(stage),
            "answers": (inventory.answer_keys(arm) or [])[:3],
            "all answers": hashed(inventory.answer_keys(arm)),
            "scores": hashed(inventory.score_keys(arm)),
            "judgements": {
                name: f"{folder_name(judge, identity(judge, bench, 0))}/{key_of(judge, item)}"
                for name, judge in grid.catalogue.panel.items()
            },
        }


def golden() -> dict[str, Any]:
    return {"specs": specs(), "keys": keys()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden(), indent=1) + "\n")
