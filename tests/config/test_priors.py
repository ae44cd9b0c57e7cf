"""The file of priors, its alternatives and its rules."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import RESOURCES
from emgrid.config.base import validate
from emgrid.config.priors import Priors, load_priors, prior_sets
from emgrid.runtime.errors import EmgridError


@pytest.fixture
def written() -> Any:
    return yaml.safe_load(Path(RESOURCES / "priors.yaml").read_text(encoding="utf-8"))


def test_alternatives_change_the_numbers_they_name_and_nothing_else(written: Any) -> None:
    sets = prior_sets()
    assert list(sets) == ["usual", *written["alternatives"]]
    for name, changes in written["alternatives"].items():
        for section in ("rates", "rises"):
            expected = written[section]
            for prior, numbers in changes.get(section, {}).items():
                expected = expected | {prior: expected[prior] | numbers}
            found = getattr(sets[name], section).model_dump(mode="json")
            assert found == expected


def test_narrower_and_wider_are_so() -> None:
    narrower, usual, wider = (prior_sets()[name] for name in ("narrower", "usual", "wider"))
    for section in ("rates", "rises"):
        for prior in ("question_sd", "seed_sd"):
            scales = [getattr(getattr(one, section), prior).scale for one in
                      (narrower, usual, wider)]  # fmt: skip
            assert scales == sorted(set(scales))
    assert prior_sets()["no_spike"].rates.cold_share.at_zero == 1


def test_every_source_is_named_and_every_name_is_a_source() -> None:
    priors = load_priors()
    assert all(source.url.startswith("https://") for source in priors.sources.values())
    assert "clarifying_em" in priors.rates.question_sd.sources


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (("rates", "question_sd", "scale"), 0, "rates.question_sd.scale"),
        (("rates", "question_sd", "unit"), "points", "rates.question_sd.unit"),
        (("rates", "cold_share", "at_zero"), 1.5, "rates.cold_share.at_zero"),
        (("rises", "trigger", "spread"), 1, "unknown key 'spread'"),
        (("rates", "seed_sd", "sources"), [], "rates.seed_sd.sources"),
        (("rates", "seed_sd", "sources"), ["nobody"], "nobody"),
        (("sources", "unused"), {"title": "T", "url": "https://x.example"}, "unused"),
        (("alternatives", "usual"), {"about": "A"}, "'usual' is the set itself"),
    ],
)
def test_a_file_that_breaks_the_rules_is_refused(
    written: Any, place: tuple[str, ...], value: Any, problem: str
) -> None:
    inner = written
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(EmgridError, match=problem):
        validate(Priors, written, "priors.yaml")


@pytest.mark.parametrize("changes", [{"question_mean": {"scale": 2}}, {"questions": {"sd": 2}}])
def test_an_alternative_may_only_change_what_there_is(written: Any, changes: Any) -> None:
    written["alternatives"]["wider"]["rates"] = changes
    with pytest.raises(EmgridError, match=r"alternatives\.wider"):
        validate(Priors, written, "priors.yaml")
