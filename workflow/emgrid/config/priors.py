"""The prior distributions of the statistics, from resources/priors.yaml."""

from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.places import resource
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.files import digest

FILE = "priors.yaml"
USUAL = "usual"  # the set itself, next to its alternatives
Fraction = Annotated[float, Field(ge=0, le=1)]


class Prior(Strict):
    """What a prior is about, and what it rests on."""

    describes: str
    """The quantity that it is the prior of."""

    unit: Literal["log-odds", "fraction"]
    """The unit of the quantity and of the prior's parameters."""

    evidence: str
    """What is known about the quantity."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """Keys of `sources`: where the evidence comes from."""


class Normal(Prior):
    """Normal distribution."""

    mean: float
    """Mean."""

    sd: PositiveFloat
    """Standard deviation."""


class HalfNormal(Prior):
    """The positive half of a normal distribution around zero."""

    scale: PositiveFloat
    """Standard deviation of the whole normal distribution."""


class Share(Prior):
    """Zero with a probability, else a beta distribution."""

    at_zero: Fraction
    """Probability that the share is zero."""

    a: PositiveFloat
    """First parameter of the beta distribution."""

    b: PositiveFloat
    """Second parameter of the beta distribution."""


class RatePriors(Strict):
    """Priors of the hierarchy behind bounds of rates."""

    cold_share: Share
    """Share of questions with rate zero."""

    question_mean: Normal
    """Mean log-odds of the other questions."""

    question_sd: HalfNormal
    """Standard deviation of their log-odds."""

    seed_sd: HalfNormal
    """Standard deviation over seeds."""


class RisePriors(Strict):
    """Priors of the mixed logistic model behind tests of rises."""

    intercept: Normal
    """Log-odds of a typical question."""

    trigger: Normal
    """Change under the trigger."""

    question_sd: HalfNormal
    """Standard deviation over questions."""

    question_trigger_sd: HalfNormal
    """Standard deviation over questions of the change."""

    seed_sd: HalfNormal
    """Standard deviation over seeds."""

    seed_trigger_sd: HalfNormal
    """Standard deviation over seeds of the change."""


Changes = dict[str, dict[str, float]]


class Alternative(Strict):
    """Changed numbers, by prior and parameter."""

    about: str
    """What it supposes, for readers."""

    rates: Changes = Field(default_factory=dict)
    """Changes of the priors of rates."""

    rises: Changes = Field(default_factory=dict)
    """Changes of the priors of rises."""


class Source(Strict):
    """A publication or data set."""

    title: str
    """Title, with authors and year of a paper."""

    url: Annotated[str, Field(pattern="^https://")]
    """Address."""


class Priors(Strict):
    """The set of priors, its alternatives and their sources."""

    rates: RatePriors
    """Priors of rates."""

    rises: RisePriors
    """Priors of rises."""

    alternatives: dict[str, Alternative]
    """Sets that verdicts are also given under, by name."""

    sources: dict[str, Source]
    """Where the evidence comes from, by the key that priors name."""

    @model_validator(mode="after")
    def names_are_known(self) -> Self:
        used = set[str]()
        for section in (self.rates, self.rises):
            for name in type(section).model_fields:
                used |= set(getattr(section, name).sources)
        if used != set(self.sources):
            raise ValueError(
                f"sources: named by priors {sorted(used)}, listed {list(self.sources)}"
            )
        if USUAL in self.alternatives:
            raise ValueError(f"alternatives: {USUAL!r} is the set itself")
        for name in self.alternatives:
            self.changed(name)
        return self

    def changed(self, name: str) -> "Chosen":
        """The priors under an alternative."""
        changes = self.alternatives[name]
        where = f"{FILE}: alternatives.{name}"
        return Chosen(
            rates=validate(RatePriors, merged(self.rates, changes.rates), f"{where}.rates"),
            rises=validate(RisePriors, merged(self.rises, changes.rises), f"{where}.rises"),
        )


class Chosen(Strict):
    """One set of priors."""

    rates: RatePriors
    """Priors of rates."""

    rises: RisePriors
    """Priors of rises."""


def merged(section: Strict, changes: Changes) -> dict[str, Any]:
    """A section with changed numbers, not yet validated."""
    values: dict[str, Any] = section.model_dump()
    for name, numbers in changes.items():
        values[name] = values.get(name, {}) | numbers
    return values


@cache
def load_priors() -> Priors:
    """resources/priors.yaml. Raises EmgridError if the file breaks its own rules."""
    return validate(Priors, read_yaml(RESOURCES / FILE), resource(FILE))


@cache
def prior_sets() -> dict[str, Chosen]:
    """All sets by name; the first, `usual`, is the one that verdicts rest on."""
    priors = load_priors()
    usual = Chosen(rates=priors.rates, rises=priors.rises)
    return {USUAL: usual} | {name: priors.changed(name) for name in priors.alternatives}


def priors_digest() -> str:
    """A hash of the numbers of all sets, which changes with any of them and with no text."""
    texts = {"describes", "unit", "evidence", "sources"}
    numbers = {
        name: {
            section: {prior: parameters(value, texts) for prior, value in priors.items()}
            for section, priors in chosen.model_dump().items()
        }
        for name, chosen in prior_sets().items()
    }
    return digest(numbers)


def parameters(prior: dict[str, Any], texts: set[str]) -> dict[str, Any]:
    return {name: value for name, value in prior.items() if name not in texts}
