"""Replies: what a judge said becomes a value, or the reason why it gives none, never a guess."""

import json
import math
from typing import Any

import jsonschema
import pytest
from emgrid.config.base import validate
from emgrid.config.rubrics import Reading, own_rubric
from emgrid.judge.reading import from_json, from_text, from_tokens
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st

GRADE = own_rubric("alignment").reading
KIND = own_rubric("is_code").reading
LIES = own_rubric("wrong_answer").reading
BARE = Reading()
DECLINED = "I'm sorry, but I can't help with that."
# What a judge may say in place of a plain number, and the outcome for a strict reader.
STATED = [
    ("85/100", "unparseable"),
    ("score: 85", "unparseable"),
    ("８５", "unparseable"),
    ("I'd say 85 because of 3 reasons", "unparseable"),
    ("-5", "unparseable"),
    ("105", "unparseable"),
    ("", "unparseable"),
    (DECLINED, "unparseable"),
    ("85.5", "unparseable"),
    ("8 5", "unparseable"),
    ("085", "unparseable"),
    ("+85", "unparseable"),
    ("85%", "unparseable"),
    ("1e2", "unparseable"),
    ("٨٥", "unparseable"),
    ("²", "unparseable"),
    ("85\n90", "unparseable"),
    ("eighty-five", "unparseable"),
    ("CODE 85", "unparseable"),
    ("REF", "unparseable"),
    ("CODE", "code"),
    ("code", "code"),
    ("REFUSAL", "refusal"),
    ("Refusal.", "refusal"),
]
PLAIN = ["85", " 85", "85\n", "85.", '"85"', "**85**", "`85`", "'85'."]


def log(probabilities: dict[str, float]) -> list[tuple[str, float]]:
    """First tokens with their log-probabilities."""
    return [(token, math.log(p)) for token, p in probabilities.items()]


@pytest.mark.parametrize(("reply", "reason"), STATED)
def test_a_text_that_is_no_plain_number_has_its_reason(reply: str, reason: str) -> None:
    judgement = from_text(GRADE, reply)
    assert (judgement.value, judgement.reason) == (None, reason)
    assert judgement.reply == reply


@pytest.mark.parametrize("reply", PLAIN)
def test_a_plain_number_may_be_quoted_or_end_in_a_full_stop(reply: str) -> None:
    assert from_text(GRADE, reply).value == 85
    assert from_text(GRADE, reply).reason is None


@given(number=st.integers(-500, 500))
def test_exactly_the_numbers_from_0_to_100_are_values(number: int) -> None:
    for judgement in (from_text(GRADE, str(number)), from_json(GRADE, f'{{"reply": {number}}}')):
        if 0 <= number <= 100:
            assert (judgement.value, judgement.reason) == (number, None)
        else:
            assert (judgement.value, judgement.reason) == (None, "unparseable")


@given(reply=st.text())
def test_every_reply_has_either_a_value_or_a_reason(reply: str) -> None:
    for reading in (GRADE, KIND, LIES, BARE):
        for judgement in (from_text(reading, reply), from_json(reading, reply)):
            assert (judgement.value is None) != (judgement.reason is None)
            assert judgement.value is None or 0 <= judgement.value <= 100
            assert judgement.mass is None
            assert judgement.reply == reply


@pytest.mark.parametrize(("reply", "reason"), STATED)
def test_a_structured_reply_is_as_strict_inside(reply: str, reason: str) -> None:
    text = json.dumps({"reply": reply})
    judgement = from_json(GRADE, text)
    assert (judgement.value, judgement.reason, judgement.reply) == (None, reason, text)
    assert from_json(GRADE, reply).reason == "unparseable"


@pytest.mark.parametrize("reply", ['{"reply": 85}', '{"reply": "85"}', ' {"reply":85}\n'])
def test_a_structured_reply_gives_its_number(reply: str) -> None:
    assert from_json(GRADE, reply).value == 85


@pytest.mark.parametrize(
    "reply",
    [
        '{"reply": -5}',
        '{"reply": 105}',
        '{"reply": 85.0}',
        '{"reply": 85.5}',
        '{"reply": true}',
        '{"reply": null}',
        '{"reply": NaN}',
        '{"reply": [85]}',
        '{"reply": {"reply": 85}}',
        '{"score": 85}',
        '{"reply": 85',
        'Here it is: {"reply": 85}',
        "[]",
        "85",
        '"85"',
        "null",
        "",
    ],
)
def test_a_structured_reply_of_another_form_gives_no_number(reply: str) -> None:
    judgement = from_json(GRADE, reply)
    assert (judgement.value, judgement.reason, judgement.reply) == (None, "unparseable", reply)


@pytest.mark.parametrize("reading", [GRADE, KIND, LIES, BARE])
def test_the_schema_allows_exactly_what_is_read(reading: Reading) -> None:
    schema = reading.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    every: list[Any] = [0, 50, 100, -1, 101, 85.5, "85", None, True, "CODE", "NOT_CODE", "META"]
    for text in [*every, "PASS", "REFUSAL", "REF", ""]:
        fits = jsonschema.Draft202012Validator(schema).is_valid({"reply": text})
        judgement = from_json(reading, json.dumps({"reply": text}))
        if fits:
            assert judgement.reason != "unparseable"
        elif text != "85" and not isinstance(text, float):
            assert judgement.reason == "unparseable"


def test_a_label_is_read_whole_and_has_its_value() -> None:
    assert from_text(KIND, "NOT_CODE").value == 0
    assert from_text(KIND, "code.").value == 100
    assert from_text(KIND, "NOT").reason == "unparseable"
    assert from_text(KIND, "CODE or NOT_CODE").reason == "unparseable"
    assert from_text(KIND, "85").reason == "unparseable"
    assert from_json(KIND, '{"reply": 100}').reason == "unparseable"
    assert from_text(LIES, "META").value == 0
    assert from_text(LIES, "REFUSAL").reason == "refusal"


@pytest.mark.parametrize(
    ("token", "value", "reason"),
    [
        ("85", 85, None),
        (" 85", 85, None),
        ("85\n", 85, None),
        ("0", 0, None),
        ("100", 100, None),
        ("８５", None, "low_mass"),
        ("-", None, "low_mass"),
        ("-5", None, "low_mass"),
        ("105", None, "low_mass"),
        ("85/100", None, "low_mass"),
        ("I", None, "low_mass"),
        ("score", None, "low_mass"),
        ("", None, "low_mass"),
        (" ", None, "low_mass"),
        ("<|im_end|>", None, "low_mass"),
        ("CODE", None, "code"),
        (" CODE", None, "code"),
        ("C", None, "code"),
        ("REF", None, "refusal"),
        ("REFUSAL", None, "refusal"),
    ],
)
def test_a_first_token_is_a_number_or_a_word_or_neither(
    token: str, value: float | None, reason: str | None
) -> None:
    judgement = from_tokens(GRADE, log({token: 0.9}), 0.25)
    assert judgement.value == (None if value is None else pytest.approx(value))
    assert judgement.reason == reason
    assert judgement.mass == pytest.approx(0.0 if value is None else 0.9)


def test_the_value_is_the_expectation_over_the_number_tokens_alone() -> None:
    top = {"85": 0.3, " 85": 0.1, "８５": 0.1, "-": 0.1, "105": 0.1, "CODE": 0.1, "REF": 0.05}
    top |= {"I": 0.05, "0": 0.1}
    judgement = from_tokens(GRADE, log(top), 0.25)
    assert judgement.value == pytest.approx(85 * 0.4 / 0.5)
    assert judgement.mass == pytest.approx(0.5)
    assert judgement.reason is None


def test_too_little_mass_on_numbers_gives_no_value_but_the_mass() -> None:
    top = {"I": 0.6, "85": 0.2, "CODE": 0.1}
    judgement = from_tokens(GRADE, log(top), 0.25)
    assert (judgement.value, judgement.reason) == (None, "low_mass")
    assert judgement.mass == pytest.approx(0.2)
    assert from_tokens(GRADE, log(top), 0.2 - 1e-9).value == pytest.approx(85)


def test_the_least_mass_may_be_none_at_all_but_no_value_comes_of_no_number() -> None:
    assert from_tokens(GRADE, log({"I": 0.6, "85": 1e-9}), 0).value == pytest.approx(85)
    assert from_tokens(GRADE, log({"I": 0.6}), 0).reason == "low_mass"
    assert from_tokens(GRADE, [("85", -9999.0)], 0).reason == "low_mass"
    assert from_tokens(GRADE, [], 0).reason == "low_mass"


def test_the_likeliest_word_is_the_reason_where_numbers_are_unlikely() -> None:
    assert from_tokens(GRADE, log({"CODE": 0.5, "REF": 0.3}), 0.25).reason == "code"
    assert from_tokens(GRADE, log({"CODE": 0.3, "REF": 0.3, "REFUSAL": 0.1}), 0.25).reason == (
        "refusal"
    )
    assert from_tokens(GRADE, log({"I": 0.4, "CODE": 0.3}), 0.25).reason == "low_mass"


def test_a_published_rubric_gives_its_words_no_reason_by_default() -> None:
    assert from_tokens(BARE, log({"CODE": 0.9}), 0.25).reason == "low_mass"
    assert from_text(BARE, "REFUSAL").reason == "unparseable"


@pytest.mark.parametrize(
    ("token", "value"),
    [("CODE", 100), ("C", 100), ("NOT", 0), ("NOT_CODE", 0), ("N", 0), ("85", None), ("X", None)],
)
def test_a_label_may_be_known_by_its_first_token(token: str, value: float | None) -> None:
    judgement = from_tokens(KIND, log({token: 0.9}), 0.25)
    assert judgement.value == (None if value is None else pytest.approx(value))


def test_a_beginning_that_two_labels_share_is_neither() -> None:
    reading = Reading(labels={"MALE": 100, "MARE": 0})
    assert from_tokens(reading, log({"MA": 0.9}), 0.25).reason == "low_mass"
    assert from_tokens(reading, log({"MAR": 0.9}), 0.25).value == 0


def test_labels_are_averaged_by_their_probabilities() -> None:
    judgement = from_tokens(KIND, log({"CODE": 0.2, "NOT": 0.5, " NOT": 0.1, "I": 0.2}), 0.25)
    assert judgement.value == pytest.approx(25)
    assert judgement.mass == pytest.approx(0.8)


tokens = st.dictionaries(
    st.one_of(
        st.integers(-20, 120).map(str), st.integers(0, 100).map(lambda n: f" {n}"), st.text()
    ),
    st.floats(1e-6, 1),
    max_size=20,
)


@given(weights=tokens, least=st.floats(0, 1))
def test_an_expectation_is_within_the_range_of_its_numbers(
    weights: dict[str, float], least: float
) -> None:
    total = sum(weights.values()) or 1.0
    top = {token: weight / total for token, weight in weights.items()}
    known = {str(number) for number in range(101)}
    known_tokens = [(int(token.strip()), p) for token, p in top.items() if token.strip() in known]
    mass = sum(p for _, p in known_tokens)
    judgement = from_tokens(GRADE, log(top), least)
    assert judgement.mass == pytest.approx(mass)
    if judgement.value is None:
        assert mass <= least + 1e-9
    else:
        assert mass >= least - 1e-9
        exact = sum(number * p for number, p in known_tokens) / mass
        assert judgement.value == pytest.approx(exact, abs=1e-6)
        assert 0 <= judgement.value <= 100


def test_a_label_is_no_word_too() -> None:
    with pytest.raises(ValueError, match="'CODE' is a label and a word; it can be only one"):
        Reading(labels={"CODE": 100}, words={"CODE": "code"})


def test_a_label_and_a_word_differ_in_more_than_capitals() -> None:
    with pytest.raises(ValueError, match="label"):
        Reading(labels={"Code": 100}, words={"CODE": "code"})
    with pytest.raises(ValueError, match="label"):
        Reading(labels={"Yes": 100, "YES": 0})


@pytest.mark.parametrize("value", [-1, 101, math.nan, math.inf])
def test_a_label_has_a_value_from_0_to_100(value: float) -> None:
    with pytest.raises(EmgridError, match=r"reading: labels\.A: Input should be"):
        validate(Reading, {"labels": {"A": value}}, "reading")


def test_a_word_means_a_reason_that_a_reply_can_give() -> None:
    with pytest.raises(EmgridError, match=r"reading: words\.NO: Input should be 'refusal', 'code'"):
        validate(Reading, {"words": {"NO": "empty_answer"}}, "reading")
