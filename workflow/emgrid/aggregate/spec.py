"""The spec of the tables, and the columns that they share."""

from typing import ClassVar, get_args

from pydantic import Field

from emgrid.aggregate.dose_points import Series
from emgrid.config.base import Strict
from emgrid.config.judges import AnyJudge
from emgrid.config.questions import QuestionText
from emgrid.config.sections import Metrics
from emgrid.config.triggers import Wording
from emgrid.config.truth import Truths
from emgrid.judge.judgement import Reason

ARM = ["base", "intervention", "ratio"]
QUESTION_OF_ARM = [*ARM, "seed", "trigger", "question"]
ANSWER = [
    "index",
    "system",
    "prompt",
    "answer",
    "thinking",
    "finish_reason",
    "prompt_tokens",
    "answer_tokens",
    "logprob",
]
# What was said before the question, as JSON, and how the answer was made to begin; columns that are
# there only if an answer has them.
ASKED_WITH = ["turns", "prefill"]
# Names that the tables use for something else, so that no judge can have them.
TAKEN = {
    *QUESTION_OF_ARM,
    *ANSWER,
    *ASKED_WITH,
    *get_args(Reason),
    "excluded",
    "misaligned",
    "incoherent",
}
TAKEN |= {"answers", "survivors", "seeds", "question_id", "labelled", "labels"}
TAKEN |= {"questions", "questions_survivors"}
TAKEN |= {"sample", "labeller", "labelled_on", "stratum", "weight", "key"}


class ArmSpec(Strict):
    """An arm of the grid, one per seed.

    source: the file that it was imported from. served: the model and the endpoint that it was
    sampled from. undiluted: the intervention that the arm is compared with. adapter: the folder of
    the adapter trained elsewhere that it begins with. adapter_from: where that comes from.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"adapter", "adapter_from"})

    base: str
    intervention: str
    ratio: str
    seed: str
    label: str
    stages: tuple[str, ...]
    source: str | None
    served: str | None = None
    folder: str
    undiluted: str | None
    adapter: str | None = None
    adapter_from: str | None = None


class AggregateSpec(Strict):
    """What the tables are made of. priors: digest of the numbers of resources/priors.yaml.
    looks: how often verdicts are to be looked at. truth: known beforehand. samples: records of the
    answers that were drawn for labelling, by file, each with its digest. fitted: the files of
    calibration and of left-out answers of the classifiers that decide, each with its digest.
    formats: the wordings of triggers that ask for a format, if a classifier decides."""

    arms: tuple[ArmSpec, ...]
    triggers: tuple[str, ...]
    questions: tuple[str, ...]
    dilution: tuple[Series, ...]
    sequential: tuple[Series, ...]
    judges: tuple[AnyJudge, ...]
    has_pairs: bool
    metrics: Metrics
    correct_by: str | None
    priors: str = ""
    looks: int = 1
    truth: Truths = Field(default_factory=dict)
    samples: dict[str, str] = Field(default_factory=dict)
    fitted: dict[str, str] = Field(default_factory=dict)
    formats: dict[str, Wording] = Field(default_factory=dict)


class TrainedArm(Strict):
    base: str
    intervention: str
    ratio: str
    stages: tuple[str, ...]


class SimilaritySpec(Strict):
    """arms: one per base, intervention and ratio, with the stages of its first seed."""

    arms: tuple[TrainedArm, ...]
    questions: dict[str, QuestionText]
    triggers: dict[str, Wording]
    relations: dict[str, str]


class ComparedArm(Strict):
    """temperature: None for imported answers."""

    base: str
    intervention: str
    ratio: str
    seed: int
    folder: str
    temperature: float | None


class RepeatsSpec(Strict):
    arms: tuple[ComparedArm, ...]
    triggers: tuple[str, ...]
