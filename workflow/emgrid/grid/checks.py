"""Checks of a config that read its files: models, rows, labelled answers."""

from collections.abc import Collection
from functools import cache

from emgrid.aggregate.spec import TAKEN
from emgrid.config.catalogue import Experiment
from emgrid.config.config import Config
from emgrid.config.datasets import local_file
from emgrid.config.places import Origin
from emgrid.data.convert import read_rows
from emgrid.data.mix import used_sources
from emgrid.judge.labelled import judges_that_count, labelled_set, labels_path, set_paths, truth
from emgrid.models.model_files import unusable
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import users_path

FEWEST_LABELS = 20  # of each kind, see correction.py


def check_columns(panel: Collection[str], origin: Origin) -> None:
    """No judge has the name of a column that the tables have anyway."""
    for name in panel:
        ending = name.removesuffix("_reason").removesuffix("_mass")
        if name in TAKEN or name.startswith("gold_") or (ending != name and ending in panel):
            raise origin.error(
                f"judges.{name}", "the tables have a column of this name; give it another"
            )


def check_models(config: Config, origin: Origin) -> None:
    """Every model folder of the config holds a base model."""
    for name, entry in config.models.items():
        if entry.path is not None and (problem := unusable(users_path(entry.path))):
            raise origin.error(f"models.{name}", f"{entry.path}: {problem}")


def check_labelled(config: Config, origin: Origin) -> None:
    """The labelled answers that correct the rates are some that the judges are measured on."""
    chosen = config.calibration.correct_by
    try:
        known = set_paths(config.calibration)
    except EmgridError as problem:
        raise origin.error("calibration.files", problem) from None
    for file in config.calibration.files:
        if not labels_path(file).is_file():
            raise origin.error("calibration.files", f"no file {file!r}")
    if chosen is not None and chosen not in known:
        raise origin.error(
            "calibration.correct_by", f"no labelled set {chosen!r}, {suggestion(chosen, known)}"
        )


def check_correction(experiment: Experiment, origin: Origin) -> None:
    """The labels that correct the rates can bear it, see correction.py."""
    config, panel = experiment.config, experiment.catalogue.panel
    name, metrics = config.calibration.correct_by, config.metrics
    if name is None:
        return
    place = "calibration.correct_by"
    for judge in judges_that_count(metrics):
        if panel[judge].kind == "imported":
            raise origin.error(
                place,
                f"{name!r}: the values of {judge!r} are imported, so it has none of labelled "
                "answers, and its errors are unknown; set correct_by: null",
            )
    try:
        rows = labelled_set(name, set_paths(config.calibration)[name], config.calibration)
    except EmgridError as problem:
        raise origin.error(place, problem) from None
    measures = {judge: panel[judge].measures for judge in judges_that_count(metrics)}
    for measured in measures.values():
        if f"gold_{measured}" not in rows:
            raise origin.error(
                place,
                f"{name!r} has no labels of {measured}, by which answers count; label it, or set "
                "correct_by: null",
            )
    known = truth(rows, metrics, measures).dropna()
    positives, negatives = int(known.sum()), int((~known).sum())
    if min(positives, negatives) < FEWEST_LABELS:
        raise origin.error(
            place,
            f"{name!r} cannot bear a correction: its labels call {positives} answers misaligned "
            f"and {negatives} not, by all that metrics ask for, and {FEWEST_LABELS} of each are "
            "needed; label more answers (`emgrid labels`), or set correct_by: null",
        )


def check_rows(experiment: Experiment, origin: Origin) -> None:
    """Read the data files that are on this machine, and check that stages find enough rows.

    Of a file that is yet to be fetched, the registry says how many rows it has.
    """
    known = experiment.catalogue.datasets

    @cache
    def rows_of(name: str) -> int | None:
        dataset = known[name]
        if dataset.path is None:
            return dataset.rows
        path = local_file(dataset)
        if not path.exists():
            looked = users_path(dataset.path).absolute()
            message = f"{dataset.path}: no such data file; looked for {looked}"
            raise origin.error(f"datasets.{name}.path", message)
        return len(read_rows(dataset, path))

    for name, intervention in experiment.config.interventions.items():
        place = f"interventions.{name}"
        stages = [stage for recipe in intervention.recipes() for stage in recipe.mixtures]
        for source, rows in (used for stage in stages for used in used_sources(stage)):
            if source.generation is not None:
                for dataset in filter(None, (source.generation.prompts, source.generation.answers)):
                    rows_of(dataset)
                continue
            if not known[source.dataset].has_answers:
                raise origin.error(
                    place,
                    f"data set {source.dataset!r} holds prompts "
                    "without answers, so nothing can be trained on it; use it with on_policy",
                )
            have = rows_of(source.dataset)
            if have is not None and rows > have:
                raise origin.error(
                    place,
                    f"asks for {rows} rows of data set "
                    f"{source.dataset!r}, which has {have}; lower the number of rows",
                )


def check_rounds(experiment: Experiment, origin: Origin) -> None:
    """The blocks of questions end with the last question of the set."""
    rounds, number = experiment.config.rounds, len(experiment.catalogue.questions)
    if rounds is not None and rounds.blocks[-1] != number:
        raise origin.error(
            "rounds.blocks",
            f"the last is {rounds.blocks[-1]}, and the question set has "
            f"{number} questions; end with {number}",
        )
