"""The spec of the job that measures how good the judges are. It is made without pandas."""

from pydantic import Field

from emgrid.config.base import Strict
from emgrid.config.judges import AnyJudge
from emgrid.config.sections import Calibration, Metrics


class QualitySpec(Strict):
    judges: tuple[AnyJudge, ...]
    metrics: Metrics
    calibration: Calibration
    content: dict[str, str] = Field(default_factory=dict)
    revision: int = 0
