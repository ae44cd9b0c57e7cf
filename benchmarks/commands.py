"""How long the commands of emgrid take on a grid of 200 arms and 6 triggers.

The grid's files are made up: each output exists and has its record as after a run, and stored rows
have the keys of real ones. Each command is called several times. The output is the median duration
and the median CPU time, which other work on the machine does not change.

    python benchmarks/commands.py --repeats 5
"""

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from common import write_manifest
from emgrid.judge.judge import identity
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import JudgementStore
from emgrid.planning.dry_run import planned
from emgrid.planning.garbage import unneeded
from emgrid.planning.inventory import Inventory
from emgrid.runtime import provenance
from emgrid.runtime.files import write_json
from emgrid.runtime.row_store import RowStore

RATIOS = [round(0.05 * number, 2) for number in range(1, 19)]
CONFIG: dict[str, Any] = {
    "extends": "config.yaml",
    "name": "big",
    "interventions": {"undiluted": {}, "benign_only": {}, "dilution": {"ratio": RATIOS}},
    "seeds": list(range(10)),
}
OWN = dict(os.environ)  # before Snakemake tells it to its jobs
EDITED = {"sampling": {"temperature": 0.7}}
MODEL = {"name": "smollm2-135m", "path": ".", "revision": None, "chat_template": "x"}


def make(folder: Path) -> None:
    """The folder of a grid that seems finished."""
    (folder / "big.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "edited.yaml").write_text(yaml.safe_dump(CONFIG | EDITED))
    (folder / "fresh.yaml").write_text(yaml.safe_dump(CONFIG | {"name": "fresh"}))
    os.chdir(folder)
    workflow = planned(folder / "big.yaml")
    asyncio.run(finish(workflow))
    grid = workflow.globals["GRID"]
    fill(Inventory(grid, Path()))
    if entries := unneeded([grid], Path()):
        sys.exit(f"the grid is not as a run would leave it: {entries[0].path}: {entries[0].what}")
    os.chdir(folder)


async def finish(workflow: Any) -> None:
    """Write every output, and have Snakemake note down its job."""
    manifest = {"packages": provenance.versions(), "device": "cpu (made up)", "seconds": 60.0}
    training = {"base": "smollm2-135m", "training": {"rank": 16}}
    for level in workflow.dag.toposorted():
        for job in level:
            for file in map(Path, job.output):
                value: dict[str, Any] = {}
                if file.name == "adapter.json":
                    value = {"sha256": file.parent.name}
                elif file.name == "provenance.json":
                    value = manifest | {"tokens": 6000, "epochs": 2, "spec": training}
                elif file.name == "model.json":
                    value = MODEL | {"eos_token_ids": [2]}
                write_json(file, value)
            if job.output:
                await workflow.persistence.finished(job)


def fill(inventory: Inventory) -> None:
    """Keep every answer, score and judgement."""
    manifest = {"packages": provenance.versions(), "device": "cpu (made up)", "arms_of_job": 100}
    manifest |= {"seconds": 600.0}
    sampling = {"max_tokens": inventory.grid.config.sampling.max_tokens}
    spec = {"base": "smollm2-135m", "sampling": sampling}
    texts = [f"Answer {number} is that one should do it, and soon." for number in range(997)]
    for arm in inventory.grid.arms:
        keys = inventory.answer_keys(arm) or []
        rows = ({"key": key, "answer": texts[int(key, 16) % len(texts)]} for key in keys)
        RowStore(inventory.answer_file(arm)).append(rows)
        scores = inventory.score_keys(arm) or []
        path = Path(f"rows/likelihood/{arm.writer}.jsonl")
        RowStore(path).append({"key": key, "logprob": -1.0, "tokens": 9} for key in scores)
        drawn = {"answers": len(keys), "drawn": len(keys)}
        write_json(Path(arm.folder) / "answers/provenance.json", manifest | drawn | {"spec": spec})
    for judge in inventory.grid.catalogue.panel.values():
        about = identity(judge, inventory.judge_context)
        store = JudgementStore(inventory.judge_context.folder, "big", judge, about)
        store.own_store.append(
            {"key": store.key(Item("", "", text)), "value": 50.0} for text in texts
        )


def timed(folder: Path, words: list[str], repeats: int) -> tuple[float, float]:
    """Median seconds by the clock, and of a busy core."""
    clock, busy = [], []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        command = [sys.executable, "-m", "emgrid.cli.main", *words, "--json"]
        subprocess.run(command, cwd=folder, env=OWN, check=True, stdout=subprocess.DEVNULL)
        clock.append(time.monotonic() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(clock), median(busy)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--repeats", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--folder", type=Path, help="keep the made-up grid here")
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    commands = {
        "plan": ["plan", "--configfile", "big.yaml"],
        "why, nothing to do": ["why", "--configfile", "big.yaml"],
        "why, another temperature": ["why", "--configfile", "edited.yaml"],
        "why, nothing there": ["why", "--configfile", "fresh.yaml"],
        "status": ["status", "--configfile", "big.yaml"],
        "gc": ["gc", "big.yaml"],
    }
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        place = options.folder or Path(temporary)
        place.mkdir(exist_ok=True)
        make(place)
        for name, words in commands.items():
            clock, busy = timed(place, words, options.repeats)
            rows.append(
                {"what": name, "value": busy, "unit": "s"}
                | {"ratio": clock / busy, "of": "the clock to the busy core"}
            )
            print(f"{name}: {clock:.2f} s, a core busy for {busy:.2f} s", file=sys.stderr)
    write_manifest("commands", options, rows)


if __name__ == "__main__":
    main()
