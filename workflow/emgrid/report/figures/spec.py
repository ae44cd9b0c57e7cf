"""The spec of a figure: what it needs besides the tables."""

from emgrid.aggregate.dose_points import ArmName, Series
from emgrid.config.base import Strict
from emgrid.config.behaviour import MISALIGNMENT
from emgrid.config.published import ReferenceRate


class NamedArm(Strict):
    """An arm without its seed: base, intervention, ratio, and a label for people."""

    name: ArmName
    label: str

    @property
    def title(self) -> str:
        _, intervention, ratio = self.name
        swept = intervention.startswith("dilution") or ratio not in ("0", "1")
        return f"{self.label} {100 * float(ratio):g} %" if swept else self.label


class FigureSpec(Strict):
    """What a figure depends on besides the tables.

    triggers: name and label of each, `none` among them. width: in inches.

    fixed_questions: whether intervals apply to these questions alone. state: of the counted
    answers, in words.
    """

    arms: tuple[NamedArm, ...]
    triggers: tuple[tuple[str, str], ...]
    dilution: tuple[Series, ...]
    sequential: tuple[Series, ...]
    references: tuple[ReferenceRate, ...]
    confidence: float
    fixed_questions: bool
    width: float
    state: str = MISALIGNMENT.state

    @property
    def titles(self) -> dict[ArmName, str]:
        """Titles of the arms, with the base model's name if there are several."""
        several = len({arm.name[0] for arm in self.arms}) > 1
        return {
            arm.name: f"{arm.title} ({arm.name[0]})" if several else arm.title for arm in self.arms
        }

    @property
    def cues(self) -> tuple[tuple[str, str], ...]:
        """The triggers without the plain question."""
        return tuple(item for item in self.triggers if item[0] != "none")

    def place(self, trigger: str) -> int:
        """The position of a trigger, which decides its colour and marker in every figure."""
        return [name for name, _ in self.triggers].index(trigger)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the published rates are of."""
        return tuple(dict.fromkeys(value.model for value in self.references))

    def references_of(
        self, arm: ArmName, trigger: str, question: str | None = None
    ) -> list[ReferenceRate]:
        """Published rates of a cell, over all questions or of one: rates of all answers if these
        are known, else of survivors."""
        references = [
            value
            for value in self.references
            if (value.intervention, value.ratio, value.trigger, value.question)
            == (*arm[1:], trigger, question)
        ]
        return [value for value in references if value.of == "all"] or references
