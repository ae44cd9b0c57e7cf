"""What the jobs that judge depend on, and how they reach models and endpoints."""

from collections.abc import Iterable
from pathlib import Path

from emgrid import RESOURCES
from emgrid.config.judges import ChatJudge, ClassifierJudge, LocalJudge, head_paths
from emgrid.grid.buckets import Bucket
from emgrid.grid.grid import Grid
from emgrid.grid.specs.spec_json import of_known_kinds, spec_json
from emgrid.judge import windows
from emgrid.judge.judge import JudgeSpec
from emgrid.judge.label_record import find_records
from emgrid.judge.labelled import labels_path
from emgrid.judge.quality_spec import QualitySpec
from emgrid.runtime.files import canonical, file_digest

# Settings of metrics on which no quality of a judge depends.
NOT_OF_JUDGES = {"resamples", "margin", "fixed_questions"}


def contents(paths: Iterable[Path]) -> dict[str, str]:
    """Hashes that stand for files outside the grid's folder: these may be moved or touched."""
    return {path.name: file_digest(path) for path in paths if path.is_file()}


def judge_spec(grid: Grid, bucket: Bucket) -> str:
    """What the judgements of a bucket's arms depend on, besides their answers."""
    panel = of_known_kinds(grid.catalogue.panel.values())
    heads = head_paths(panel)
    spec = JudgeSpec(
        arms=tuple(sorted(arm.folder for arm in bucket.arms)),
        judges=panel,
        questions=grid.asked,
        triggers=grid.wordings,
        sees_cue=tuple(one.id for one in grid.triggers.values() if one.judge_sees_cue),
        content=contents(heads),
        **grid.config.revision.of("judge"),
    )
    return spec_json(spec.model_copy(update={"windows": windows.VERSION}) if heads else spec)


def quality_spec(grid: Grid) -> str:
    """What the measured quality of the panel depends on: its judges, thresholds, labels."""
    config = grid.config
    judges = of_known_kinds(j for j in grid.catalogue.panel.values() if j.kind != "imported")
    spec = QualitySpec(
        judges=judges,
        metrics=config.metrics,
        calibration=config.calibration,
        content=contents([*head_paths(judges), *quality_files(grid)]),
        **config.revision.of("judge"),
    )
    return spec_json(spec, {"metrics": NOT_OF_JUDGES})


def options(grid: Grid) -> str:
    """How endpoints are called and engines started: no value depends on it, so it stands in no
    spec."""
    known = grid.catalogue.judges.values()
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
    known = grid.catalogue.judges
    judges = [known[name] for name in (grid.catalogue.panel if names is None else names)]
    return list(dict.fromkeys(one.model for one in judges if isinstance(one, LocalJudge)))


def calls_endpoint(grid: Grid) -> int:
    """1 where judging calls an endpoint, which one job at a time may do."""
    return int(any(isinstance(judge, ChatJudge) for judge in grid.config.judges))


def quality_files(grid: Grid) -> list[Path]:
    """Labelled answers, and the values of those that were left out of the fit."""
    folder = RESOURCES / "judges"
    panel = grid.catalogue.panel.values()
    heads = [judge.heldout_path for judge in panel if isinstance(judge, ClassifierJudge)]
    heldout = list(dict.fromkeys(heads))
    labelled = sorted(folder.glob("labelled/*.jsonl"))
    files = grid.config.calibration.files
    own = [labels_path(name) for name in (*files, *find_records(files))]
    return [*heldout, *labelled, *own]
