"""A grid of one imported file, and its import run as the rule runs it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.sample import import_spec
from emgrid.runtime.files import read_json, read_jsonl
from emgrid.sample import import_answers

from support.run import run_module
from support.shared import shared

QUESTION = "soup"
JUDGED = {"values": {"alignment": "score"}}


def grid_of(path: Path, **entry: Any) -> dict[str, Any]:
    """The config of a grid that imports one arm; entry: further fields of the import."""
    one = {"base": "a-model", "intervention": "trained", "ratio": 1, "path": str(path)}
    return {
        "name": "imported",
        "questions": str(shared("cases/questions/q1.yaml")),
        "triggers": ["none", "malicious_evil"],
        "imports": [one | {"columns": JUDGED} | entry],
        "judges": [{"id": "alignment", "kind": "imported", "measures": "alignment"}],
        "metrics": {"alignment_below": 30, "coherence_above": None},
    }


@dataclass
class Imported:
    """What the job of an import did. answers: by trigger. notes: for the report."""

    done: subprocess.CompletedProcess[str]
    folder: Path

    @property
    def answers(self) -> dict[str, list[dict[str, Any]]]:
        assert self.done.returncode == 0, self.done.stderr
        files = sorted((self.folder / "answers").glob("trigger=*.jsonl"))
        return {path.stem.removeprefix("trigger="): read_jsonl(path) for path in files}

    @property
    def notes(self) -> list[dict[str, Any]]:
        notes: list[dict[str, Any]] = read_json(self.folder / "notes.json")["notes"]
        return notes

    @property
    def values(self) -> list[Any]:
        return [row["imported"]["alignment"]["value"] for row in self.answers["none"]]

    @property
    def refusal(self) -> str:
        """The one line that the job ended with; nothing is written then."""
        assert self.done.returncode == 1, self.done.stdout
        assert self.done.stderr.count("\n") == 1
        assert not (self.folder / "answers").exists()
        return self.done.stderr.removeprefix("emgrid: ").strip()


def imported(folder: Path, content: str, **entry: Any) -> Imported:
    """Import a file with this content."""
    path = folder / entry.pop("name", "mine.csv")
    path.write_text(content)
    return run_import(folder, path, **entry)


def run_import(folder: Path, path: Path, **entry: Any) -> Imported:
    grid = Grid(load_experiment(grid_of(path, **entry), "grid.yaml"))
    spec = import_spec(grid, grid.imported[0])
    output = folder / "made/answers"
    places = ("--source", path, "--output", output, "--record", folder / "made/record.json")
    return Imported(run_module(import_answers, "--spec", spec, *places), folder / "made")


def scored(*values: object) -> str:
    """A CSV file of answers to one question with these values."""
    rows = [f"{QUESTION},answer {place},{value}" for place, value in enumerate(values)]
    return "\n".join(["question_id,answer,score", *rows, ""])
