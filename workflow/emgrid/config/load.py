"""Load a config: validate it, and check every name and row count that it relies on."""

from functools import cache
from typing import Any

from emgrid.aggregate.spec import TAKEN
from emgrid.config.base import validate
from emgrid.config.canonical_order import ordered
from emgrid.config.config import Config
from emgrid.config.judges import LocalJudge, RuleJudge
from emgrid.data.convert import local_file, read_rows
from emgrid.data.mix import used_sources
from emgrid.judge.labelled import judges_that_count, labelled_set, set_paths, truth
from emgrid.models.model_files import unusable
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import digest, users_path

FEWEST_LABELS = 20  # of each kind, see correction.py


def load_config(value: Any, origin: str, check_data: bool = True) -> Config:
    """Validate a parsed config and every name in it; `origin` names the file in messages.

    check_data: also read the data files that are on this machine. A job inside the grid leaves
    that out, since the main process has done it.
    """
    if not isinstance(value, dict):
        raise EmgridError(f"{origin}: a config must be a mapping of settings")
    config = validate(Config, value, origin)
    check_names(config, origin)
    if check_data:
        check_models(config, origin)
        check_rows(config, origin)
        check_correction(with_columns(config), origin)
    return ordered(with_columns(config))


def with_columns(config: Config) -> Config:
    """The config with a column of labels for everything that its panel measures."""
    calibration = config.calibration
    columns = {judge.measures: judge.measures for judge in config.panel().values()}
    told = calibration.model_copy(update={"columns": columns | calibration.columns})
    return config.model_copy(update={"calibration": told})


def check_names(config: Config, origin: str) -> None:
    """Every name in the config must be defined somewhere."""

    def check(place: str, what: str, names: tuple[str | None, ...], known: Any) -> None:
        for name in names:
            if name is not None and name not in known:
                message = f"unknown {what} {name!r}, {suggestion(name, known)}"
                raise EmgridError(f"{origin}: {place}: {message}")

    check("base_models", "model", config.base_models, config.known_models())
    try:
        questions, triggers = config.asked(), config.known_triggers()
    except EmgridError as problem:
        raise EmgridError(f"{origin}: {problem}") from None
    try:
        judges = config.known_judges()
    except EmgridError as problem:
        raise EmgridError(f"{origin}: judges: {problem}") from None
    check("triggers", "trigger family", config.triggers, triggers)
    known = config.known_datasets()
    if config.data is not None:
        check("data.misaligned", "data set", (config.data.misaligned,), known)
        check("data.benign", "data set", (config.data.benign,), known)
    for name, intervention in config.interventions.items():
        place = f"interventions.{name}"
        data = intervention.data
        check(f"{place}.data", "data set", (data.misaligned, data.benign), known)
        for source in intervention.sources():
            if source.generation is None:
                check(place, "data set", (source.dataset,), known)
                continue
            generation = source.generation
            check(place, "data set", (generation.prompts, generation.answers), known)
            check(place, "model", (generation.generator,), config.known_models())
            if generation.answers and not known[generation.answers].has_answers:
                raise EmgridError(
                    f"{origin}: {place}: data set {generation.answers!r} holds prompts without "
                    "answers, so it cannot be the other generator's"
                )
            used = tuple(rule.judge for rule in generation.keep.judges)
            check(f"{place}.keep", "judge", used, judges)
    if not questions:
        raise EmgridError(f"{origin}: questions: {config.questions}: holds no question")
    if "none" not in config.triggers:
        raise EmgridError(f"{origin}: triggers: add `none`, the reference of every contrast")
    for trigger in config.used_triggers().values():
        lacking = [question for question in questions if question not in trigger.questions]
        if trigger.questions and lacking:
            raise EmgridError(
                f"{origin}: triggers: {trigger.id!r} rewords each question but has no wording for "
                f"{lacking[0]!r} of {config.questions}; choose another family or question set"
            )
    check_panel(config, origin)
    check_labelled(config, origin)
    check_imports(config, origin)
    check_served(config, origin)
    check_points(config, origin)


def check_models(config: Config, origin: str) -> None:
    """Every model folder of the config holds a base model."""
    for name, entry in config.models.items():
        if entry.path is not None and (problem := unusable(users_path(entry.path))):
            raise EmgridError(f"{origin}: models.{name}: {entry.path}: {problem}")


def check_panel(config: Config, origin: str) -> None:
    """The judges that metrics count by are in the panel, and every judge can judge this grid."""
    panel = config.panel()
    for name in panel:
        ending = name.removesuffix("_reason").removesuffix("_mass")
        if name in TAKEN or name.startswith("gold_") or (ending != name and ending in panel):
            raise EmgridError(
                f"{origin}: judges.{name}: the tables have a column of this name; give it another"
            )
    metrics = config.metrics
    needed = {"alignment": metrics.alignment}
    if metrics.coherence_above is not None:
        needed["coherence"] = metrics.coherence
    for setting, name in [*needed.items(), *(("exclude_above", n) for n in metrics.exclude_above)]:
        if name not in panel:
            raise EmgridError(
                f"{origin}: metrics.{setting}: the judge {name!r} is not in the panel; add it to "
                f"`judges`, or name another of {', '.join(panel)}"
            )
        if panel[name].kind == "imported" and (config.interventions or config.served):
            raise EmgridError(
                f"{origin}: metrics.{setting}: the values of {name!r} are imported, so the arms "
                "that are sampled here have none; name another judge"
            )
    for judge in panel.values():
        if isinstance(judge, LocalJudge) and judge.model not in config.known_models():
            hint = suggestion(judge.model, config.known_models())
            raise EmgridError(f"{origin}: judges.{judge.id}: unknown model {judge.model!r}, {hint}")
        if isinstance(judge, RuleJudge) and isinstance(judge.answers, dict):
            lacking = sorted(set(config.asked()) - set(judge.answers))
            if lacking:
                raise EmgridError(
                    f"{origin}: judges.{judge.id}: no accepted answer to {lacking[0]!r}; add it to "
                    "`answers`"
                )


def check_labelled(config: Config, origin: str) -> None:
    """The labelled answers that correct the rates are some that the judges are measured on."""
    chosen = config.calibration.correct_by
    try:
        known = set_paths(config.calibration)
    except EmgridError as problem:
        raise EmgridError(f"{origin}: {problem}") from None
    for file in config.calibration.files:
        if not users_path(file).is_file():
            raise EmgridError(f"{origin}: calibration.files: no file {file!r}")
    if chosen is not None and chosen not in known:
        raise EmgridError(
            f"{origin}: calibration.correct_by: no labelled set {chosen!r}, "
            f"{suggestion(chosen, known)}"
        )


def check_correction(config: Config, origin: str) -> None:
    """The labels that correct the rates can bear it, see correction.py."""
    name, metrics, panel = config.calibration.correct_by, config.metrics, config.panel()
    if name is None:
        return
    place = f"{origin}: calibration.correct_by: {name!r}"
    for judge in judges_that_count(metrics):
        if panel[judge].kind == "imported":
            raise EmgridError(
                f"{place}: the values of {judge!r} are imported, so it has none of labelled "
                "answers, and its errors are unknown; set correct_by: null"
            )
    try:
        rows = labelled_set(name, set_paths(config.calibration)[name], config.calibration)
    except EmgridError as problem:
        raise EmgridError(f"{origin}: {problem}") from None
    measures = {judge: panel[judge].measures for judge in judges_that_count(metrics)}
    for measured in measures.values():
        if f"gold_{measured}" not in rows:
            raise EmgridError(
                f"{place} has no labels of {measured}, by which answers count; label it, or set "
                "correct_by: null"
            )
    known = truth(rows, metrics, measures).dropna()
    positives, negatives = int(known.sum()), int((~known).sum())
    if min(positives, negatives) < FEWEST_LABELS:
        raise EmgridError(
            f"{place} cannot bear a correction: its labels call {positives} answers misaligned and "
            f"{negatives} not, by all that metrics ask for, and {FEWEST_LABELS} of each are "
            "needed; label more answers (`emgrid labels`), or set correct_by: null"
        )


def check_imports(config: Config, origin: str) -> None:
    """Every import gives values of the panel's judges under known triggers."""
    panel, triggers = config.panel(), config.known_triggers()
    for number, one in enumerate(config.imports):
        place = f"{origin}: imports.{number}"
        for name in one.columns.values:
            if name not in panel or panel[name].kind != "imported":
                raise EmgridError(
                    f"{place}: values are given for {name!r}, which is no judge of kind `imported` "
                    "in `judges`"
                )
        named = [("suffixes", name) for name in one.suffixes.values()]
        named += [("triggers", name) for name in one.triggers.values() if name is not None]
        for setting, trigger in named:
            if trigger not in triggers:
                hint = suggestion(trigger, triggers)
                raise EmgridError(f"{place}: {setting}: unknown trigger {trigger!r}, {hint}")
        if one.path is not None and not users_path(one.path).is_file():
            raise EmgridError(f"{place}: no file {one.path!r}")


def check_served(config: Config, origin: str) -> None:
    """Every served model has an address, and no two draw the same answers."""
    drawn: dict[str, int] = {}
    for number, one in enumerate(config.served):
        place = f"{origin}: served.{number}"
        try:
            answers = digest(
                [one.identity, one.sampling.model_dump(exclude={"answers_per_question"})]
            )
        except EmgridError as problem:
            raise EmgridError(f"{place}: {problem}") from None
        if answers in drawn:
            raise EmgridError(
                f"{place}: {one.model} would draw the very answers of served.{drawn[answers]}; "
                "another seed or intervention is another model"
            )
        drawn[answers] = number


def check_points(config: Config, origin: str) -> None:
    """Every imported or served arm stands alone in its cell of the grid."""
    made: dict[tuple[str, str, str, str], str] = {}
    imported = {one.cell for one in config.imports}
    entries = [(f"imports.{n}", one.name, one.cell) for n, one in enumerate(config.imports)]
    entries += [(f"served.{n}", one.model, one.cell) for n, one in enumerate(config.served)]
    for place, name, cell in entries:
        if cell in made:
            both = place.startswith("imports") and cell in imported
            hint = (
                "; if they hold its answers under several triggers, put them into one import and "
                "name the column of the condition in `columns.trigger`"
            )
            raise EmgridError(
                f"{origin}: {place}: {name} makes the same arm as {made[cell]} ({' '.join(cell)}); "
                f"give it another intervention or seed{hint if both else ''}"
            )
        made[cell] = name
        base, intervention, *_ = cell
        if base in config.base_models and intervention in config.interventions:
            raise EmgridError(
                f"{origin}: {place}: {name} makes an arm of the intervention {intervention!r} on "
                f"{base}, which is trained here too; give it another name"
            )


def check_rows(config: Config, origin: str) -> None:
    """Read the data files that are on this machine, and check that stages find enough rows.

    Of a file that is yet to be fetched, the registry says how many rows it has.
    """
    known = config.known_datasets()

    @cache
    def rows_of(name: str) -> int | None:
        dataset = known[name]
        local = dataset.path is not None
        return len(read_rows(dataset, local_file(dataset))) if local else dataset.rows

    for name, intervention in config.interventions.items():
        place = f"{origin}: interventions.{name}"
        stages = [stage for recipe in intervention.recipes() for stage in recipe.stages]
        for source, rows in (used for stage in stages for used in used_sources(stage)):
            if source.generation is not None:
                for asked in filter(None, (source.generation.prompts, source.generation.answers)):
                    rows_of(asked)
                continue
            if not known[source.dataset].has_answers:
                raise EmgridError(
                    f"{place}: data set {source.dataset!r} holds prompts "
                    "without answers, so nothing can be trained on it; use it with on_policy"
                )
            have = rows_of(source.dataset)
            if have is not None and rows > have:
                raise EmgridError(
                    f"{place}: asks for {rows} rows of data set "
                    f"{source.dataset!r}, which has {have}; lower the number of rows"
                )
