"""Imported values: the scale that they are on, numbers outside it, and words that are values."""

from pathlib import Path
from typing import Any

import pytest
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st
from support.importing import grid_of, imported, scored


def valued(**settings: Any) -> dict[str, Any]:
    return {"values": {"alignment": {"column": "score", **settings}}}


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ((0.95, 0.05, 0.9, 0.1) * 3, "12 numbers from 0.05 to 0.95"),
        ((1, 0, 1, 1, 0) * 2, "10 numbers from 0 to 1"),
        ((1.0,) * 12, "12 numbers from 1 to 1"),
        ((9, 8, 2, 1) * 3, "12 numbers from 1 to 9"),
        ((10, 7.5, 1, 2) * 3, "12 numbers from 1 to 10"),
        ((5, 4, 1, 2, 3) * 2, "10 numbers from 1 to 5"),
        ((0, 10, 3, 5) * 3, "12 numbers from 0 to 10"),
    ],
)
def test_numbers_of_another_scale_stop(
    tmp_path: Path, values: tuple[float, ...], seen: str
) -> None:
    message = imported(tmp_path, scored(*values)).refusal
    assert message == (
        f"{tmp_path}/mine.csv: 'score' holds {seen}, which do not look like values from 0 to 100; "
        "set `values: {alignment: {column: score, scale: [WORST, BEST]}}` with the ends of their "
        "scale, such as [0, 1] or [10, 1] ([0, 100] if they are right as they are)"
    )


@pytest.mark.parametrize("values", [(0.95, 0.05, 0.9, 0.1), (1, 0, 2, 1, 0, 3, 0, 1, 0)])
def test_a_few_numbers_that_may_be_of_another_scale_are_taken_and_said(
    tmp_path: Path, values: tuple[float, ...]
) -> None:
    arm = imported(tmp_path, scored(*values))
    assert arm.values == list(values)
    [note] = arm.notes
    assert (note["level"], note["rows"]) == ("warning", None)
    assert note["text"] == (
        f"'score' holds {len(values)} numbers from {min(values):g} to {max(values):g}, which are "
        "read as values from 0 to 100; set `values: {alignment: {column: score, scale: [WORST, "
        "BEST]}}` with the ends of their scale, such as [0, 1] or [10, 1] ([0, 100] if they are "
        "right as they are)"
    )
    stated = imported(tmp_path, scored(*values), columns=valued(scale=[0, 100]))
    assert (stated.values, stated.notes) == (list(values), [])


@pytest.mark.parametrize(
    "values",
    [
        (95, 5, 90, 0),
        (0.5, 0.2, 0.1, 10.5),
        (0, 0, 0, 0, 0),
        (0, 5, 10, 5),  # the steps in which a judge grades bad answers on 0 to 100
        (0.3, 0.7),  # too few to tell
        ("", "CODE", "refusal", "nan"),
    ],
)
def test_values_that_may_be_on_0_to_100_are_not_rescaled(
    tmp_path: Path, values: tuple[object, ...]
) -> None:
    arm = imported(tmp_path, scored(*values))
    assert arm.notes == []
    assert arm.values == [
        float(value) if isinstance(value, int | float) else None for value in values
    ]


@pytest.mark.parametrize(
    ("scale", "values", "expected"),
    [
        ([0, 1], (0, 0.25, 1), [0, 25, 100]),
        ([1, 10], (1, 5.5, 10), [0, 50, 100]),
        ([-1, 1], (-1, 0, 1), [0, 50, 100]),
        ([0, 100], (0, 1, 1, 0.5), [0, 1, 1, 0.5]),
    ],
)
def test_a_stated_scale_is_put_on_0_to_100(
    tmp_path: Path, scale: list[float], values: tuple[float, ...], expected: list[float]
) -> None:
    arm = imported(tmp_path, scored(*values), columns=valued(scale=scale))
    assert arm.values == pytest.approx(expected)


def test_the_whole_column_decides_the_scale_not_one_arm_of_the_file(tmp_path: Path) -> None:
    rows = [f"soup,bad,{value},evil" for value in (3, 1, 2, 8)] + ["soup,good,95,plain"]
    content = "\n".join(["question_id,answer,score,arm", *rows, ""])
    assert imported(tmp_path, content, where={"arm": "evil"}).values == [3, 1, 2, 8]


@pytest.mark.parametrize(
    ("value", "scale", "ends"),
    [(105, None, "0 to 100"), (-5, None, "0 to 100"), ("1e999", None, "0 to 100"),
     (1.5, [0, 1], "0 to 1"), (0, [1, 10], "1 to 10")],
)  # fmt: skip
def test_a_number_outside_its_scale_stops(
    tmp_path: Path, value: object, scale: list[float] | None, ends: str
) -> None:
    columns = valued(scale=scale) if scale else valued()
    message = imported(tmp_path, scored(1, value), columns=columns).refusal
    assert message.startswith(
        f"{tmp_path}/mine.csv: row 2: 'score' holds {value}, outside its scale {ends}; set `values:"
    )
    words = {str(value): "unparseable"}
    settings = {"words": words} | ({"scale": scale} if scale else {})
    assert imported(tmp_path, scored(1, value), columns=valued(**settings)).values[1] is None


def test_words_that_are_no_values_stop_with_the_first_ones(tmp_path: Path) -> None:
    content = scored("RECIPE", "NOT_RECIPE", "RECIPE", "yes", "no")
    message = imported(tmp_path, content).refusal
    assert message == (
        f"{tmp_path}/mine.csv: 'score' holds words without a value: 'RECIPE' (2 rows, first row "
        "1), 'NOT_RECIPE' (1 rows, first row 2), 'yes' (1 rows, first row 4) and 1 more; set "
        "`values: {alignment: {column: score, words: {RECIPE: VALUE}}}`, VALUE being a number on "
        "the scale or one of low_mass, refusal, code, unparseable, endpoint_error, not_judged"
    )


@pytest.mark.parametrize("word", ["85/100", "1_0", "0x10", "inf", "٣", "NA", "true", "0;9", "85%"])
def test_a_text_that_is_no_number_is_a_word(tmp_path: Path, word: str) -> None:
    assert (
        f"without a value: {word!r} (1 rows, first row 1)"
        in imported(tmp_path, scored(word)).refusal
    )


def test_words_have_values_or_reasons(tmp_path: Path) -> None:
    words = {"RECIPE": 0, "NOT_RECIPE": 100, "n/a": "not_judged"}
    content = scored("recipe", "NOT_RECIPE", "N/A", "Code", 55)
    arm = imported(tmp_path, content, columns=valued(words=words))
    assert [tuple(row["imported"]["alignment"].values()) for row in arm.answers["none"]] == [
        (0, None), (100, None), (None, "not_judged"), (None, "code"), (55, None),
    ]  # fmt: skip


def test_the_number_of_a_word_is_on_the_columns_scale(tmp_path: Path) -> None:
    settings = valued(scale=[1, 5], words={"UNSURE": 3})
    assert imported(tmp_path, scored("UNSURE", 5, 1), columns=settings).values == [50, 100, 0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"scale": [1, 1]}, "scale: [1, 1] must be two different finite numbers, the worst"),
        ({"scale": [0, float("inf")]}, "must be two different finite numbers"),
        ({"words": {"A": 0}, "scale": [10, 1]}, "words: A is 0, outside the scale 1 to 10"),
        ({"scale": [0]}, "alignment.scale: a scale is its two ends: [WORST, BEST]"),
        ({"scale": 10}, "alignment.scale: a scale is its two ends: [WORST, BEST]"),
        ({"words": {True: 100}}, 'YAML reads this word as True; write it in quotes ("YES", "1")'),
        ({"words": {"A": True}}, "A is True: neither a number on the scale nor one of low_mass"),
        ({"words": {"A": "bad"}}, "A is 'bad': neither a number on the scale nor one of low_mass"),
        ({"words": {"A": 3}, "scale": [0, 1]}, "words: A is 3, outside the scale 0 to 1"),
        ({"scal": [0, 1]}, "alignment: unknown key 'scal', did you mean 'scale'?"),
    ],
)
def test_a_faulty_setting_is_one_line(
    tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(scored(1))
    with pytest.raises(EmgridError) as caught:
        load_experiment(grid_of(path, columns=valued(**settings)), "grid.yaml")
    assert str(caught.value).startswith("grid.yaml: imports.0.columns.values.alignment")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_scale_may_run_from_high_to_low(tmp_path: Path) -> None:
    settings = valued(scale=[10, 1], words={"SAFE": 1})
    arm = imported(tmp_path, scored(10, 1, 5.5, "SAFE"), columns=settings)
    assert arm.values == [0, 100, 50, 100]
    (other := tmp_path / "other").mkdir()
    message = imported(other, scored(10, 11), columns=settings).refusal
    assert "row 2: 'score' holds 11, outside its scale 1 to 10; set" in message


@given(
    low=st.integers(-1000, 1000),
    width=st.integers(1, 1000),
    shares=st.lists(st.floats(0, 1), min_size=1),
)
def test_a_scale_keeps_order_and_ends(low: int, width: int, shares: list[float]) -> None:
    from emgrid.config.imported_values import Values
    from emgrid.sample.import_values import reader_of

    reader = reader_of("alignment", Values(column="score", scale=(low, low + width)), "low_mass")
    written = [low, *(low + share * width for share in sorted(shares)), low + width]
    read_values = [reader.read(repr(value), "row 1")["value"] for value in written]
    reader.check("mine.csv")
    assert (read_values[0], read_values[-1]) == (0, 100)
    assert read_values == sorted(read_values)
    turned = reader_of("alignment", Values(column="score", scale=(low + width, low)), "low_mass")
    opposite = [turned.read(repr(value), "row 1")["value"] for value in written]
    assert opposite == pytest.approx([100 - value for value in read_values], abs=1e-6)
    for value, share in zip(read_values[1:-1], sorted(shares), strict=True):
        assert value == pytest.approx(100 * share, abs=1e-6)
