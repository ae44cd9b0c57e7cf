"""What the sampling jobs of served models depend on, as canonical JSON, and how they call."""

from emgrid.config.endpoints import find_url
from emgrid.config.served import ServedModel
from emgrid.grid.arms import Arm
from emgrid.grid.grid import Grid
from emgrid.runtime.files import canonical


def model_of(arm: Arm) -> ServedModel:
    if arm.served is None:
        raise TypeError(f"{arm.folder} is not served")
    return arm.served


def served_spec(grid: Grid, arm: Arm) -> str:
    """What a served arm's answers depend on: the model, where it is, what it is asked."""
    model = model_of(arm)
    return canonical(
        {
            "url": find_url(model.endpoint),
            "asking": model.asking.model_dump(mode="json"),
            "sampling": model.sampling.model_dump(mode="json"),
            "questions": grid.asked(),
            "triggers": grid.trigger_wordings(),
        }
    )


def served_options(grid: Grid, arm: Arm) -> str:
    """How a served arm's endpoint is called: no answer depends on it, so it stands in no spec."""
    endpoint = model_of(arm).endpoint.model_dump(mode="json")
    return canonical({"endpoint": endpoint, "calls": grid.config.serving.model_dump(mode="json")})
