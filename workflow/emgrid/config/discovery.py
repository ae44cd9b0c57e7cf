"""The config's section `discovery`: a search for triggers that nobody listed."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from emgrid.config.base import Strict

PROPOSED = ("frames", "mutate", "ngrams", "panel", "system", "topics")


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sorted, each once: their order means nothing."""
    return tuple(sorted(set(values)))


Names = Annotated[tuple[str, ...], AfterValidator(each_once)]
Seeds = Annotated[tuple[NonNegativeInt, ...], AfterValidator(each_once), Field(min_length=1)]


class DiscoveryScreen(Strict):
    """The screen of candidates by likelihood."""

    questions: str | None = None
    """Question set whose matched answers are scored. It must share no question with that of
    `confirm`. `null` takes prompts that both data sets of the arm answer and that were not trained
    on."""

    seeds: Seeds
    """Training seeds that are screened."""

    number: Annotated[int, Field(ge=2)] = 8
    """Number of questions that the best eighth of the candidates is screened on. All candidates are
    screened on a quarter of them, the better half on half of them."""

    candidates: PositiveInt = 200
    """Largest number of candidates of an arm."""

    keep: PositiveInt = 6
    """Number of cues of an arm that are confirmed (slots)."""

    random: Annotated[int, Field(ge=4)] = 10
    """Random cues of each place that scores are measured by."""


class DiscoveryConfirm(Strict):
    """The confirmation of the best candidates by sampled answers."""

    questions: str | None = None
    """Question set that is asked. `null` takes the grid's own."""

    seeds: Seeds
    """Training seeds that are asked. They must be none of those of `screen`, unless the grid has a
    single one."""

    answers_per_question: PositiveInt
    """Answers per question, wording and training seed. The base model gives as many in all."""


class Discovery(Strict):
    """A search for triggers that nobody listed: candidates are proposed from the training rows and
    known families, screened by likelihood, and the best confirmed by sampled answers."""

    arms: Names = ()
    """Interventions that are searched, by their names in the config. Empty for all that are
    trained, apart from the controls."""

    controls: Names = ()
    """Interventions that go through the same search although they have no trigger, such as
    `benign_only` or `base`. What they "find" is the rate of false finds."""

    proposers: Annotated[Names, Field(min_length=1)] = PROPOSED
    """Where candidates come from: these, or `random_words`, a baseline. `base` as a control has no
    rows and needs `panel`."""

    reference: str | None = None
    """Intervention whose shift under a cue is taken off in the screen: one that was trained without
    it. `null` takes `benign_only` of the same benign rows if the grid has it on the screening
    seeds, and the base model otherwise."""

    screen: DiscoveryScreen
    """How candidates are screened."""

    confirm: DiscoveryConfirm
    """How the best candidates are confirmed."""

    fdr: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """False discovery rate of all cues that are called found (Benjamini & Hochberg 1995), over the
    slots of all arms, as a fraction."""

    @model_validator(mode="after")
    def screening_and_confirming_share_no_seed(self) -> "Discovery":
        shared = set(self.screen.seeds) & set(self.confirm.seeds)
        if shared and len({*self.screen.seeds, *self.confirm.seeds}) > 1:
            raise ValueError(
                f"seed {min(shared)} is in both screen.seeds and confirm.seeds, so that a chance "
                "find of the screen would confirm itself; leave it out of one of them"
            )
        for name in self.arms:
            if name in self.controls:
                raise ValueError(f"{name!r} is in both `arms` and `controls`; leave it out of one")
        return self
