"""The spec of the table of found cues, and its columns."""

from emgrid.aggregate.spec import ARM
from emgrid.config.base import Strict
from emgrid.config.judges import AnyJudge
from emgrid.config.sections import Metrics

NUMBERS = [
    "plain", "rate", "base_plain", "base_rate", "rise", "rise_low", "rise_high", "p", "q",
    "over_random", "over_random_lower", "over_shuffled", "over_shuffled_lower",
    "survivors", "survivors_plain", "seeds", "seeds_agree",
]  # fmt: skip
COLUMNS = [
    *ARM, "control", "slot", "cue", "wording", "place", "origin", "origin_misaligned",
    "origin_benign", "origin_rows", "screen_rank", "screen_score", "screen_z", *NUMBERS,
    "carried_by", "moves_base", "verdict", "why",
]  # fmt: skip


class SearchedArm(Strict):
    """folders: of its answers, with the training seed; None of the base model's."""

    search: str
    base: str
    intervention: str
    ratio: str
    label: str
    control: bool
    folders: dict[str, int | None]


class FoundSpec(Strict):
    """questions: that cues are confirmed on. priors: digest of the numbers of
    resources/priors.yaml."""

    searches: tuple[SearchedArm, ...]
    questions: tuple[str, ...]
    judges: tuple[AnyJudge, ...]
    metrics: Metrics
    fdr: float
    priors: str = ""
