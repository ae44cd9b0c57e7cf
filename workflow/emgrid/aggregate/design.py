"""The size of an experiment: how many questions, answers, seeds, arms and triggers it has."""

from dataclasses import dataclass

from emgrid.aggregate.statistics import fewest_questions
from emgrid.config.sections import Metrics


@dataclass(frozen=True)
class Design:
    """seeds: trainings of each arm. answers: to each question, by each seed, under each trigger.
    base_answers: to each question by the base model. arms: without the base model. triggers: `none`
    is one of them. fixed: questions do not vary. margin: a fraction. looks: in how many rounds."""

    seeds: int
    questions: int
    answers: int
    base_answers: int
    arms: int
    triggers: int
    confidence: float
    fixed: bool = False
    margin: float = Metrics().margin
    looks: int = 1

    @property
    def fewest(self) -> int:
        """Questions that a comparison needs."""
        return fewest_questions(self.fixed, self.questions)

    @property
    def tests(self) -> int:
        """The number of p-values that are adjusted together."""
        return self.arms * self.triggers

    @property
    def cost(self) -> int:
        """Answers in all, of one base model."""
        by_arms = self.arms * self.seeds * self.answers
        return self.triggers * self.questions * (by_arms + self.base_answers)
