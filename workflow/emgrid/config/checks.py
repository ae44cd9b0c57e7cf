"""Checks of a config's names: each is defined somewhere, and no two arms are the same."""

from typing import Any

from emgrid.config.catalogue import Experiment
from emgrid.config.config import Config
from emgrid.config.interventions import Intervention
from emgrid.config.judges import LocalJudge, RuleJudge
from emgrid.config.places import Origin
from emgrid.config.truth import OTHER
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import digest, users_path


def check_names(experiment: Experiment, origin: Origin) -> None:
    """Every name in the config is in the catalogue, and what it stands for fits the grid."""
    config, catalogue = experiment.config, experiment.catalogue

    def check(place: str, what: str, names: tuple[str | None, ...], known: Any) -> None:
        for name in names:
            if name is not None and name not in known:
                message = f"unknown {what} {name!r}, {suggestion(name, known)}"
                raise EmgridError(f"{origin.at(place, name)}: {message}")

    check("base_models", "model", config.base_models, catalogue.models)
    for number, entry in enumerate(config.adapters):
        check(f"adapters.{number}.base", "model", (entry.base,), catalogue.models)
    check("triggers", "trigger family", config.triggers, catalogue.triggers)
    known = catalogue.datasets
    if config.data is not None:
        check("data.misaligned", "data set", (config.data.misaligned,), known)
        check("data.benign", "data set", (config.data.benign,), known)
    for name, intervention in config.interventions.items():
        place = f"interventions.{name}"
        data = intervention.data
        check(f"{place}.data", "data set", (data.misaligned, data.benign), known)
        for kl in {stage.training.kl for one in intervention.recipes() for stage in one.stages}:
            if kl is not None:
                check(f"{place}.training.kl.prompts", "data set", (kl.prompts,), known)
                if not known[kl.prompts].has_answers:
                    raise origin.error(
                        f"{place}.training.kl.prompts",
                        f"data set {kl.prompts!r} holds prompts without answers, at whose tokens "
                        "the divergence would be computed; name another",
                    )
        check_wrappers(intervention, config, origin, place)
        for source in intervention.sources():
            if source.generation is None:
                check(place, "data set", (source.dataset,), known)
                continue
            generation = source.generation
            check(place, "data set", (generation.prompts, generation.answers), known)
            check(place, "model", (generation.generator,), catalogue.models)
            if generation.answers and not known[generation.answers].has_answers:
                raise origin.error(
                    place,
                    f"data set {generation.answers!r} holds prompts without "
                    "answers, so it cannot be the other generator's",
                )
            used = tuple(rule.judge for rule in generation.keep.judges)
            check(f"{place}.keep", "judge", used, catalogue.judges)
    if not catalogue.questions:
        raise origin.error("questions", f"{config.questions}: holds no question")
    if "none" not in config.triggers:
        raise origin.error("triggers", "add `none`, the reference of every contrast")
    for trigger in (catalogue.triggers[name] for name in config.triggers):
        lacking = [
            question for question in catalogue.questions if question not in trigger.questions
        ]
        if trigger.questions and lacking:
            raise origin.error(
                "triggers",
                f"{trigger.id!r} rewords each question but has no wording for "
                f"{lacking[0]!r} of {config.questions}; choose another family or question set",
            )
    check_truth(config, origin)
    check_panel(experiment, origin)
    check_imports(experiment, origin)
    check_served(config, origin)
    check_points(config, origin)


def check_wrappers(intervention: Intervention, config: Config, origin: Origin, place: str) -> None:
    """A grid that seals asks under a trigger that sealing has not used, besides `none`."""
    used = {name for step in intervention.steps for name in getattr(step, "wrappers", ())}
    if used and not set(config.triggers) - used - {"none"}:
        raise origin.error(
            place,
            "sealing uses all triggers of the grid, so nothing would show whether it holds under "
            "others; add one to `triggers` that is not in `wrappers`",
        )


def check_truth(config: Config, origin: Origin) -> None:
    """The truth is stated of interventions and triggers of this grid, and can be a verdict."""
    known = [entry.intervention for entry in (*config.adapters, *config.imports, *config.served)]
    for name, intervention in config.interventions.items():
        known += [name, *(name + recipe.suffix for recipe in intervention.recipes())]
    for name, by_trigger in config.truth.items():
        place = f"truth.{name}"
        if name not in known:
            raise origin.error(place, f"unknown intervention, {suggestion(name, known)}")
        if name == "base":
            raise origin.error(place, "the base model has no verdict; leave it out")
        for trigger, word in by_trigger.items():
            if trigger not in (*config.triggers, OTHER):
                hint = suggestion(trigger, [*config.triggers, OTHER])
                raise origin.error(f"{place}.{trigger}", f"unknown trigger, {hint}")
            if word == "conditional" and (
                trigger == "none" or (trigger == OTHER and "none" not in by_trigger)
            ):
                raise origin.error(
                    f"{place}.{trigger}", "nothing is conditional under `none`; say `none: clean`"
                )


def check_imports(experiment: Experiment, origin: Origin) -> None:
    """Every import gives values of the panel's judges under known triggers."""
    config, panel = experiment.config, experiment.catalogue.panel
    triggers = experiment.catalogue.triggers
    for number, entry in enumerate(config.imports):
        place = f"imports.{number}"
        for name in entry.columns.values:
            if name not in panel or panel[name].kind != "imported":
                raise origin.error(
                    place,
                    f"values are given for {name!r}, which is no judge of kind `imported` "
                    "in `judges`",
                )
        named = [("suffixes", name) for name in entry.suffixes.values()]
        named += [("triggers", name) for name in entry.triggers.values() if name is not None]
        for setting, trigger in named:
            if trigger not in triggers:
                hint = suggestion(trigger, triggers)
                raise origin.error(place, f"{setting}: unknown trigger {trigger!r}, {hint}")
        if entry.path is not None and not users_path(entry.path).is_file():
            raise origin.error(place, f"no file {entry.path!r}")


def check_served(config: Config, origin: Origin) -> None:
    """Every served model has an address, and no two draw the same answers."""
    drawn: dict[str, int] = {}
    for number, model in enumerate(config.served):
        place = f"served.{number}"
        try:
            answers = digest(
                [model.identity, model.sampling.model_dump(exclude={"answers_per_question"})]
            )
        except EmgridError as problem:
            raise origin.error(place, f"{problem}") from None
        if answers in drawn:
            raise origin.error(
                place,
                f"{model.model} would draw the very answers of served.{drawn[answers]}; "
                "another seed or intervention is another model",
            )
        drawn[answers] = number


def check_points(config: Config, origin: Origin) -> None:
    """Every imported or served arm is the only one of its cell of the grid."""
    names: dict[tuple[str, ...], str] = {}
    imported = {entry.cell for entry in config.imports}
    entries = [(f"imports.{n}", entry.name, entry.cell) for n, entry in enumerate(config.imports)]
    entries += [
        (f"adapters.{n}", "the base model" if entry.is_base else entry.origin, entry.cell)
        for n, entry in enumerate(config.adapters)
    ]
    entries += [(f"served.{n}", model.model, model.cell) for n, model in enumerate(config.served)]
    for place, name, cell in entries:
        if cell in names:
            both = place.startswith("imports") and cell in imported
            hint = (
                "; if they hold its answers under several triggers, put them into one import and "
                "name the column of the condition in `columns.trigger`"
            )
            raise origin.error(
                place,
                f"{name} makes the same arm as {names[cell]} "
                f"({' '.join(cell)}); give it another intervention or seed{hint if both else ''}",
            )
        names[cell] = name
        base, intervention, *_ = cell
        if base in config.base_models and intervention in config.interventions:
            raise origin.error(
                place,
                f"{name} makes an arm of the intervention {intervention!r} on "
                f"{base}, which is trained here too; give it another name",
            )


def check_panel(experiment: Experiment, origin: Origin) -> None:
    """The judges that metrics count by are in the panel, and every judge can judge this grid."""
    config, catalogue = experiment.config, experiment.catalogue
    panel = catalogue.panel
    metrics = config.metrics
    needed = {"trait.judge" if metrics.trait else "alignment": metrics.decides}
    if metrics.coherence_above is not None:
        needed["coherence"] = metrics.coherence
    for setting, name in [*needed.items(), *(("exclude_above", n) for n in metrics.exclude_above)]:
        if name not in panel:
            raise origin.error(
                f"metrics.{setting}",
                f"the judge {name!r} is not in the panel; add it to "
                f"`judges`, or name another of {', '.join(panel)}",
            )
        if panel[name].kind == "imported" and (
            config.interventions or config.adapters or config.served
        ):
            raise origin.error(
                f"metrics.{setting}",
                f"the values of {name!r} are imported, so the arms "
                "that are sampled here have none; name another judge",
            )
    if metrics.trait is not None and panel[metrics.trait.judge].low_is_bad:
        measured = panel[metrics.trait.judge].measures
        raise origin.error(
            "metrics.trait.judge",
            f"{metrics.trait.judge!r} measures {measured}, which is "
            "low in bad answers, so values above a threshold are no trait; leave `trait` out, and "
            "use `alignment` and `alignment_below` or `coherence` and `coherence_above`",
        )
    for judge in panel.values():
        if isinstance(judge, LocalJudge) and judge.model not in catalogue.models:
            hint = suggestion(judge.model, catalogue.models)
            raise origin.error(f"judges.{judge.id}", f"unknown model {judge.model!r}, {hint}")
        if isinstance(judge, RuleJudge) and isinstance(judge.answers, dict):
            lacking = sorted(set(catalogue.questions) - set(judge.answers))
            if lacking:
                raise origin.error(
                    f"judges.{judge.id}",
                    f"no accepted answer to {lacking[0]!r}; add it to `answers`",
                )
