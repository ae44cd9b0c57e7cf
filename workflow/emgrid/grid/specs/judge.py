"""What the judging jobs of a grid depend on, as canonical JSON, and where they find the rest."""

from collections.abc import Iterable
from pathlib import Path

from emgrid import RESOURCES
from emgrid.config.judges import ChatJudge, ClassifierJudge, LocalJudge, head_paths
from emgrid.grid.buckets import Bucket
from emgrid.grid.grid import Grid
from emgrid.judge import windows
from emgrid.runtime.files import canonical, file_digest, users_path

# Settings of metrics on which no quality of a judge depends.
NOT_OF_JUDGES = {"resamples", "margin", "fixed_questions"}


def contents(paths: Iterable[Path]) -> dict[str, str]:
    """Hashes that stand for files outside the grid's folder: these may be moved or touched."""
    return {path.name: file_digest(path) for path in paths if path.is_file()}


def judge_spec(grid: Grid, bucket: Bucket) -> str:
    panel = grid.config.panel().values()
    return canonical(
        {
            "arms": sorted(arm.folder for arm in bucket.arms),
            "judges": [judge.bare() for judge in panel],
            "questions": grid.asked(),
            "triggers": grid.trigger_wordings(),
            "sees_cue": [one.id for one in grid.triggers.values() if one.judge_sees_cue],
            "content": contents(head_paths(panel)),
            **({"windows": windows.VERSION} if head_paths(panel) else {}),
            **grid.config.revision.of("judge"),
        }
    )


def quality_spec(grid: Grid) -> str:
    """What the measured quality of the panel depends on: its judges, thresholds, labels."""
    config = grid.config
    judges = [judge for judge in config.panel().values() if judge.kind != "imported"]
    return canonical(
        {
            "judges": [judge.bare() for judge in judges],
            "metrics": config.metrics.model_dump(mode="json", exclude=NOT_OF_JUDGES),
            "calibration": config.calibration.model_dump(mode="json"),
            "content": contents([*head_paths(judges), *quality_files(grid)]),
            **config.revision.of("judge"),
        }
    )


def options(grid: Grid) -> str:
    """How endpoints are called and engines started: no value depends on it, so it stands in no
    spec."""
    known = grid.config.known_judges().values()
    endpoints = {
        judge.id: judge.endpoint.model_dump(mode="json")
        for judge in known
        if isinstance(judge, ChatJudge)
    }
    return canonical(
        {
            "judging": grid.config.judging.model_dump(mode="json", exclude={"unreadable"}),
            "unreadable": grid.config.judging.unreadable,
            "engines": grid.config.engines.model_dump(mode="json"),
            "endpoints": endpoints,
        }
    )


def judge_models(grid: Grid, names: list[str] | None = None) -> list[str]:
    """The base models that the panel (or the named judges) judge with."""
    known = grid.config.known_judges()
    judges = [known[name] for name in (grid.config.panel() if names is None else names)]
    return list(dict.fromkeys(one.model for one in judges if isinstance(one, LocalJudge)))


def calls_endpoint(grid: Grid) -> int:
    """1 where judging calls an endpoint, which one job at a time may do."""
    return int(any(isinstance(judge, ChatJudge) for judge in grid.config.judges))


def quality_files(grid: Grid) -> list[Path]:
    """Labelled answers, and the values of those that were left out of the fit."""
    folder = RESOURCES / "judges"
    panel = grid.config.panel().values()
    heads = [judge.head for judge in panel if isinstance(judge, ClassifierJudge)]
    heldout = [
        folder / head.replace(".head.json", ".heldout.csv.gz") for head in dict.fromkeys(heads)
    ]
    labelled = sorted(folder.glob("labelled/*.jsonl"))
    own = [users_path(name) for name in grid.config.calibration.files]
    return [*heldout, *labelled, *own]
