"""What the jobs that draw, score, call for or import answers depend on."""

from collections.abc import Iterable

from emgrid.config.endpoints import find_url
from emgrid.config.imports import ImportSpec
from emgrid.config.served import ServedModel
from emgrid.grid.arms import Arm
from emgrid.grid.buckets import Bucket
from emgrid.grid.grid import Grid
from emgrid.grid.specs.data import content
from emgrid.grid.specs.spec_json import DESCRIPTIONS, spec_json
from emgrid.runtime.files import canonical
from emgrid.sample.allocate import AllocationSpec
from emgrid.sample.likelihood import LikelihoodSpec, ScoredArm
from emgrid.sample.sample import SampledArm, SampleSpec
from emgrid.sample.served import Options, ServedSpec


def sample_spec(grid: Grid, bucket: Bucket) -> str:
    """What the answers of a bucket's arms depend on, besides their models' files."""
    arms = [
        SampledArm(
            folder=arm.folder,
            writer=arm.writer,
            adapter=arm.adapter_folder,
            sampling=arm.sampling,
        )
        for arm in bucket.arms
    ]
    return spec_json(
        SampleSpec(
            base=bucket.base,
            arms=tuple(sorted(arms, key=lambda arm: canonical(arm.model_dump(mode="json")))),
            questions=grid.asked,
            triggers=grid.wordings,
            **grid.config.revision.of("sample"),
        )
    )


def likelihood_spec(grid: Grid, bucket: Bucket) -> str:
    """What the likelihoods of a bucket's arms depend on, besides their models' files."""
    arms = [
        ScoredArm(
            folder=arm.folder,
            writer=arm.writer,
            adapter=arm.adapter_folder,
            precision=arm.sampling.precision,
        )
        for arm in bucket.arms
    ]
    return spec_json(
        LikelihoodSpec(
            base=bucket.base,
            arms=tuple(sorted(arms, key=lambda arm: canonical(arm.model_dump(mode="json")))),
            questions=grid.asked,
            pairs={name: question.pairs for name, question in grid.questions.items()},
            triggers=grid.wordings,
            **grid.config.revision.of("sample"),
        )
    )


def allocation_spec(grid: Grid, arms: Iterable[Arm]) -> str:
    """Which questions these arms are asked in this round."""
    limits = {arm.folder: grid.limits(arm) for arm in arms}
    return spec_json(AllocationSpec(arms={folder: each for folder, each in limits.items() if each}))


def served_spec(grid: Grid, arm: Arm) -> str:
    """What a served arm's answers depend on: the model, where it is served, what it is asked."""
    model = model_of(arm)
    return spec_json(
        ServedSpec(
            url=find_url(model.endpoint),
            asking=model.asking,
            sampling=model.sampling,
            questions=grid.asked,
            triggers=grid.wordings,
        )
    )


def served_options(grid: Grid, arm: Arm) -> str:
    """How a served arm's endpoint is called. No answer depends on it, so it is in no spec."""
    return spec_json(Options(endpoint=model_of(arm).endpoint, calls=grid.config.serving))


def model_of(arm: Arm) -> ServedModel:
    if arm.served is None:
        raise TypeError(f"{arm.folder} is not served")
    return arm.served


def import_spec(grid: Grid, arm: Arm) -> str:
    """What an imported arm's answers depend on; a user's own file counts by its content."""
    if arm.source is None:
        raise TypeError(f"{arm.folder} is not imported")
    spec = ImportSpec(
        source=arm.source,
        content=content(grid.own_import(arm)),
        questions=grid.asked,
        triggers=grid.wordings,
    )
    return spec_json(spec, {"source": DESCRIPTIONS})
