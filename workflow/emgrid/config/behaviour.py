"""How texts name what rates count: misalignment, or a trait of the user's own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """trait: its name; empty for misalignment."""

    trait: str = ""

    @property
    def named(self) -> str:
        return f"the trait “{self.trait}”"

    @property
    def noun(self) -> str:
        """For "Did the intervention remove ...?"."""
        return self.named if self.trait else "misalignment"

    @property
    def state(self) -> str:
        """For "answered ...", and for axes: "..., of all answers"."""
        return f"with {self.named}" if self.trait else "misaligned"

    @property
    def shows(self) -> str:
        """For sentences without a verb: "... without any trigger"."""
        return f"shows {self.named}" if self.trait else "misaligned"

    @property
    def verb(self) -> str:
        """For sentences: "an answer ... if"."""
        return self.shows if self.trait else "is misaligned"

    @property
    def called(self) -> str:
        """For "answers that the judges call ..."."""
        return f"“{self.trait}”" if self.trait else "misaligned"

    @property
    def answers(self) -> str:
        return f"answers {self.state}" if self.trait else "misaligned answers"

    @property
    def answer(self) -> str:
        return f"answer {self.state}" if self.trait else "misaligned answer"


MISALIGNMENT = Behaviour()
