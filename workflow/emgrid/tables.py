"""What the tables of a grid are made from, and the columns that they share."""

from emgrid.judge.panel import AnyJudge
from emgrid.settings import Metrics
from emgrid.strict import Strict

ARM = ["base", "intervention", "ratio"]
CELL = [*ARM, "seed", "trigger", "question"]


class ArmSpec(Strict):
    base: str
    intervention: str
    ratio: str
    seed: str
    label: str
    stages: tuple[str, ...]
    source: str | None
    folder: str
    undiluted: str | None


class AggregateSpec(Strict):
    arms: tuple[ArmSpec, ...]
    triggers: tuple[str, ...]
    questions: tuple[str, ...]
    judges: tuple[AnyJudge, ...]
    has_pairs: bool
    metrics: Metrics
    correct_by: str | None
