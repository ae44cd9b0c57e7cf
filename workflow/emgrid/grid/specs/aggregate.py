"""What the jobs that make tables of all arms depend on."""

from typing import Any

from emgrid.aggregate.citing import unfit_judges
from emgrid.aggregate.spec import (
    AggregateSpec,
    ArmSpec,
    ComparedArm,
    RepeatsSpec,
    SimilaritySpec,
    TrainedArm,
)
from emgrid.config.judges import ClassifierJudge
from emgrid.config.priors import priors_digest
from emgrid.config.truth import Truths, resolved
from emgrid.grid.arms import Arm, undiluted_of
from emgrid.grid.dose_curves import ratio_series, rows_series
from emgrid.grid.grid import Grid
from emgrid.grid.specs.judge import contents
from emgrid.grid.specs.spec_json import of_known_kinds, spec_json
from emgrid.judge.label_record import find_records
from emgrid.runtime.files import file_digest, users_path


def aggregate_spec(grid: Grid) -> str:
    """What the tables of rates, contrasts and verdicts depend on, besides the arms' files."""
    further: dict[str, Any] = {}
    if grid.config.rounds:
        further["looks"] = grid.config.rounds.looks
    if grid.config.truth:
        further["truth"] = truth_of(grid)
    if known := samples(grid):
        further["samples"] = known
    further |= of_classifiers(grid)
    return spec_json(
        AggregateSpec(
            arms=tuple(arm_spec(grid, arm) for arm in grid.arms),
            triggers=grid.config.triggers,
            questions=tuple(grid.questions),
            dilution=ratio_series(grid.arms, grid.config.interventions),
            sequential=rows_series(grid.arms),
            judges=of_known_kinds(grid.catalogue.panel.values()),
            correct_by=grid.config.calibration.correct_by,
            priors=priors_digest(),
            has_pairs=grid.has_pairs,
            metrics=grid.config.metrics,
            **further,
        )
    )


def samples(grid: Grid) -> dict[str, str]:
    """The records of the answers that were drawn for labelling, each with its digest."""
    records = find_records(grid.config.calibration.files)
    return {file: file_digest(users_path(file)) for file in records}


def of_classifiers(grid: Grid) -> dict[str, Any]:
    """What tables say of the classifiers that decide rests on; nothing if none decides."""
    unfit = unfit_judges(grid.catalogue.panel.values(), grid.config.metrics)
    judges = [judge for judge in unfit if isinstance(judge, ClassifierJudge)]
    if not judges:
        return {}
    files = [path for one in judges for path in (one.calibration_path, one.heldout_path)]
    formats = {name: wording for name, wording in grid.wordings.items() if wording.answer_prefix}
    return {"fitted": contents(files)} | ({"formats": formats} if formats else {})


def truth_of(grid: Grid) -> Truths:
    """The verdicts that are known beforehand, by intervention, as tables name it, and trigger."""
    arms = {arm.intervention: arm.entry for arm in grid.arms}
    return resolved(grid.config.truth, arms, grid.config.triggers)


def arm_spec(grid: Grid, arm: Arm) -> ArmSpec:
    return ArmSpec(
        **arm.cell,
        label=arm.label,
        stages=tuple(stage.name for stage in arm.stages),
        source=arm.source.name if arm.source else None,
        served=f"{arm.served.model} at {arm.served.host}" if arm.served else None,
        folder=arm.folder,
        undiluted=undiluted_of(arm, grid.config.interventions),
        adapter=arm.start.folder if arm.start else None,
        adapter_from=arm.start.entry.origin if arm.start else None,
    )


def similarity_spec(grid: Grid) -> str:
    """What the similarities of triggers to training rows depend on; of each arm the first seed."""
    first = {(arm.base, arm.intervention, arm.ratio): arm for arm in reversed(grid.arms)}
    arms = [
        TrainedArm(
            base=arm.base,
            intervention=arm.intervention,
            ratio=arm.ratio,
            stages=tuple(stage.name for stage in arm.stages),
        )
        for arm in reversed(first.values())
        if arm.stages
    ]
    return spec_json(
        SimilaritySpec(
            arms=tuple(arms),
            questions=grid.asked,
            triggers=grid.wordings,
            relations={name: trigger.relation for name, trigger in grid.triggers.items()},
        )
    )


def repeats_spec(grid: Grid) -> str:
    """The arms that are searched for repeated answers, with the temperature of their sampling."""
    arms = [
        ComparedArm(
            base=arm.base,
            intervention=arm.intervention,
            ratio=arm.ratio,
            seed=arm.seed,
            folder=arm.folder,
            temperature=None if arm.source else arm.sampling.temperature,
        )
        for arm in grid.arms
    ]
    return spec_json(RepeatsSpec(arms=tuple(arms), triggers=grid.config.triggers))
