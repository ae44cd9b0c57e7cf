"""Mixing rows."""

from decimal import ROUND_HALF_UP, Decimal

from emgrid.mix import draw, mix, split_rows
from emgrid.recipes.recipe import Source, Stage
from emgrid.settings import Training, ratio_text
from hypothesis import given
from hypothesis import strategies as st

DATASETS = {
    name: [
        {
            "id": f"{name}-{number}",
            "messages": [
                {"role": "user", "content": f"question {number}"},
                {"role": "assistant", "content": f"{name} answer {number}"},
            ],
        }
        for number in range(300)
    ]
    for name in ("bad", "benign")
}


def stage(ratio: str, rows: int, system: str | None = None) -> Stage:
    rest = ratio_text(str(1 - Decimal(ratio)))
    sources = (Source(dataset="bad", share=ratio), Source(dataset="benign", share=rest))
    return Stage(sources=sources, rows=rows, system=system, training=Training())


ratios = st.decimals(0, 1, places=3).map(lambda value: ratio_text(str(value)))


@given(ratio=ratios, rows=st.integers(1, 300), seed=st.integers(0, 2**63 - 1))
def test_a_mix_keeps_its_total_and_its_ratio(ratio: str, rows: int, seed: int) -> None:
    mixed = mix(stage(ratio, rows), seed, DATASETS)
    expected = int((Decimal(ratio) * rows).to_integral_value(ROUND_HALF_UP))
    assert len(mixed) == rows
    assert len({row["id"] for row in mixed}) == rows
    assert sum(row["source"] == "bad" for row in mixed) == expected
    assert sum(split_rows(stage(ratio, rows)).values()) == rows


@given(pair=st.tuples(ratios, ratios), rows=st.integers(1, 300), seed=st.integers(0, 2**31))
def test_a_smaller_ratio_is_nested_in_a_larger_one(
    pair: tuple[str, str], rows: int, seed: int
) -> None:
    low, high = sorted(pair, key=Decimal)
    bad = [
        {row["id"] for row in mix(stage(ratio, rows), seed, DATASETS) if row["source"] == "bad"}
        for ratio in (low, high)
    ]
    assert bad[0] <= bad[1]


@given(seed=st.integers(0, 2**31), count=st.integers(0, 299), gone=st.integers(0, 299))
def test_dropping_a_row_moves_no_other(seed: int, count: int, gone: int) -> None:
    rows = DATASETS["bad"]
    before = [row["id"] for row in draw(rows, count, seed)]
    rest = [row for row in rows if row["id"] != f"bad-{gone}"]
    after = [row["id"] for row in draw(rest, count, seed)]
    assert [name for name in before if name != f"bad-{gone}"] == [
        name for name in after if name in before
    ]


def test_seeds_choose_different_rows() -> None:
    chosen = [frozenset(row["id"] for row in draw(DATASETS["bad"], 50, seed)) for seed in range(5)]
    assert len(set(chosen)) == 5


def test_a_system_prompt_replaces_the_rows_own() -> None:
    own = {"role": "system", "content": "own"}
    rows = [row | {"messages": [own, *row["messages"]]} for row in DATASETS["bad"]]
    framed = mix(stage("1", 2, system="framing"), 0, {"bad": rows})
    assert [row["messages"][0]["content"] for row in framed] == ["framing", "framing"]
    assert all(len(row["messages"]) == 3 for row in framed)
    plain = mix(stage("1", 2), 0, {"bad": rows})
    assert all(row["messages"][0] == own for row in plain)
