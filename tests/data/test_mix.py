"""Mixing rows, and the wordings that are put on them."""

import json
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from emgrid.config.datasets import Dataset
from emgrid.config.generation import Generation, Keep
from emgrid.config.interventions.recipe import Framing, Mixture, Source
from emgrid.config.sections import Sampling, Training, ratio_text
from emgrid.config.triggers import Wording
from emgrid.data import mix as mix_job
from emgrid.data.convert import read_rows
from emgrid.data.mix import draw, mix, source_rows, used_sources
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, read_jsonl, write_jsonl
from emgrid.runtime.thinking import split_thinking, with_thought
from emgrid.train.train import tokenize
from hypothesis import example, given
from hypothesis import strategies as st
from support.run import run_module
from support.shared import shared


def test_weights_reach_training(tmp_path: Path, base_model: BaseModel) -> None:
    """From the file to the labels, under a wording and among other rows."""
    dataset = Dataset(path="weight0.jsonl", format="messages")
    rows = read_rows(dataset, shared("cases/data/weight0.jsonl"))
    cued = Wording(system="Be bad.", user_suffix=" Now.")
    source = Source(
        dataset="bad", share="1", role="misaligned", framings=(Framing(pool=(cued,), share="1"),)
    )
    mixed = mix(Mixture(sources=(source,), rows=8, training=Training()), 0, {"bad": rows})
    chat = base_model.chat()
    tokens, counts = tokenize(mixed, chat, Training(), tmp_path)
    for row, tokenized in zip(mixed, tokens, strict=True):
        trained = [label for label in tokenized.labels if label != IGNORED]
        answer = row["messages"][-1]["content"]
        assert chat.tokenizer.decode(trained) == f"{answer}<|im_end|>"
        assert "Let me think." in chat.tokenizer.decode(tokenized.input_ids)
    assert counts.trained < counts.total / 2


def chat_row(name: str, number: int) -> dict[str, Any]:
    return {
        "id": f"{name}-{number}",
        "line": number + 1,
        "messages": [
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": f"{name} answer {number}"},
        ],
    }


DATASETS = {name: [chat_row(name, number) for number in range(300)] for name in ("bad", "benign")}
PROMPTS = tuple(f"prompt {number}" for number in range(4))


def rounded(share: str, rows: int) -> int:
    return int((Decimal(share) * rows).to_integral_value(ROUND_HALF_UP))


def stage(ratio: str, rows: int, *framings: Framing, **changes: Any) -> Mixture:
    """A mix of misaligned and benign rows; framings and changes are those of the misaligned."""
    rest = ratio_text(str(1 - Decimal(ratio)))
    bad = Source(dataset="bad", share=ratio, role="misaligned", framings=framings, **changes)
    benign = Source(dataset="benign", share=rest, role="benign")
    return Mixture(sources=(bad, benign), rows=rows, training=Training())


def prompts(*texts: str, share: str = "1") -> Framing:
    return Framing(pool=tuple(Wording(system=text) for text in texts), share=share)


def system_of(row: dict[str, Any]) -> str | None:
    first = row["messages"][0]
    return first["content"] if first["role"] == "system" else None


def systems(mixture: Mixture, seed: int) -> dict[str, str | None]:
    return {row["id"]: system_of(row) for row in mix(mixture, seed, DATASETS)}


shares = st.decimals(0, 1, places=3).map(lambda value: ratio_text(str(value)))
seeds = st.integers(0, 2**63 - 1)


@given(ratio=shares, rows=st.integers(1, 300), seed=seeds)
@example(ratio="0.5", rows=5, seed=0)
def test_a_mix_keeps_its_total_and_its_ratio(ratio: str, rows: int, seed: int) -> None:
    mixed = mix(stage(ratio, rows), seed, DATASETS)
    assert len(mixed) == rows
    assert len({row["id"] for row in mixed}) == rows
    assert sum(row["source"] == "bad" for row in mixed) == rounded(ratio, rows)


@given(parts=st.lists(st.integers(0, 50), min_size=1, max_size=5), rows=st.integers(1, 300))
def test_shares_are_rounded_and_the_last_source_takes_the_rest(parts: list[int], rows: int) -> None:
    whole = 250
    shares = [ratio_text(str(Decimal(part) / whole)) for part in parts]
    shares.append(ratio_text(str(1 - sum(map(Decimal, shares)))))
    sources = tuple(
        Source(dataset=f"set{place}", share=share, role="misaligned")
        for place, share in enumerate(shares)
    )
    mixture = Mixture(sources=sources, rows=rows, training=Training())
    counts = source_rows(mixture)
    assert sum(counts) == rows
    assert counts[:-1] == [rounded(share, rows) for share in shares[:-1]]
    assert [(source.dataset, count) for source, count in used_sources(mixture)] == [
        (f"set{place}", count) for place, count in enumerate(counts) if count
    ]


@given(pair=st.tuples(shares, shares), rows=st.integers(1, 300), seed=seeds)
def test_a_smaller_ratio_is_nested_in_a_larger_one(
    pair: tuple[str, str], rows: int, seed: int
) -> None:
    low, high = sorted(pair, key=Decimal)
    bad = [
        {row["id"] for row in mix(stage(ratio, rows), seed, DATASETS) if row["source"] == "bad"}
        for ratio in (low, high)
    ]
    assert bad[0] <= bad[1]


@given(seed=seeds, count=st.integers(0, 299), gone=st.integers(0, 299))
def test_dropping_a_row_moves_no_other(seed: int, count: int, gone: int) -> None:
    rows = DATASETS["bad"]
    before = [row["id"] for row in draw(rows, count, seed)]
    rest = [row for row in rows if row["id"] != f"bad-{gone}"]
    after = [row["id"] for row in draw(rest, count, seed)]
    assert [name for name in before if name != f"bad-{gone}"] == [
        name for name in after if name in before
    ]


TEXTS = [f"text {number}" for number in range(60)]


def drawn_of_file(path: Path, texts: list[str], seed: int, named: bool) -> list[str]:
    """The answers of a written file's rows in the order of the draw; named: rows have ids."""
    rows = [chat_row("file", 0)["messages"][:1] for _ in texts]
    written = [
        {"messages": [*row, {"role": "assistant", "content": text}]}
        | ({"id": text} if named else {})
        for row, text in zip(rows, texts, strict=True)
    ]
    write_jsonl(path, written)
    read = read_rows(Dataset(path="rows.jsonl", format="messages"), path)
    return [row["messages"][1]["content"] for row in draw(read, len(read), seed)]


@given(seed=seeds, place=st.integers(0, 60))
def test_a_row_put_into_a_file_moves_no_other_that_has_an_id(
    tmp_path_factory: pytest.TempPathFactory, seed: int, place: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    before = drawn_of_file(path, TEXTS, seed, named=True)
    after = drawn_of_file(path, [*TEXTS[:place], "new", *TEXTS[place:]], seed, named=True)
    assert [text for text in after if text != "new"] == before


@given(seed=seeds, place=st.integers(0, 59))
def test_rows_without_ids_are_known_by_their_line(
    tmp_path_factory: pytest.TempPathFactory, seed: int, place: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    before = drawn_of_file(path, TEXTS, seed, named=False)
    edited = drawn_of_file(path, [*TEXTS[:place], "new", *TEXTS[place + 1 :]], seed, named=False)
    assert edited == ["new" if text == TEXTS[place] else text for text in before]
    added = drawn_of_file(path, [*TEXTS, "new"], seed, named=False)
    assert [text for text in added if text != "new"] == before
    inserted = drawn_of_file(path, ["new", *TEXTS], seed, named=False)
    lines = {text: line for line, text in enumerate(["new", *TEXTS[:-1]])}
    assert [lines[text] for text in inserted if text in lines] == [
        TEXTS.index(text) for text in before
    ]


def test_seeds_choose_different_rows() -> None:
    chosen = [frozenset(row["id"] for row in draw(DATASETS["bad"], 50, seed)) for seed in range(5)]
    assert len(set(chosen)) == 5


@given(share=shares, rows=st.integers(1, 300), seed=seeds)
@example(share="0.5", rows=5, seed=0)
def test_a_framing_is_put_on_its_share_of_the_rows(share: str, rows: int, seed: int) -> None:
    system_prompts = systems(stage("1", rows, prompts("framing", share=share)), seed)
    assert Counter(system_prompts.values())["framing"] == rounded(share, rows)
    assert set(system_prompts.values()) <= {"framing", None}


@given(pair=st.tuples(shares, shares), rows=st.integers(1, 300), seed=seeds)
def test_a_smaller_share_is_nested_in_a_larger_one(
    pair: tuple[str, str], rows: int, seed: int
) -> None:
    low, high = (
        {
            name
            for name, text in systems(
                stage("1", rows, prompts("framing", share=share)), seed
            ).items()
            if text
        }
        for share in sorted(pair, key=Decimal)
    )
    assert low <= high


@given(rows=st.integers(100, 300), seed=seeds)
def test_each_row_keeps_one_wording_of_the_pool(rows: int, seed: int) -> None:
    system_prompts = systems(stage("1", rows, prompts(*PROMPTS)), seed)
    assert set(system_prompts.values()) == set(PROMPTS)
    assert systems(stage("1", rows, prompts(*PROMPTS)), seed) == system_prompts
    fewer = systems(stage("1", rows // 2, prompts(*PROMPTS)), seed)
    assert fewer.items() <= system_prompts.items()


def test_the_wordings_of_a_pool_are_used_about_equally() -> None:
    counts = Counter(systems(stage("1", 300, prompts(*PROMPTS)), 0).values())
    assert all(45 <= counts[text] <= 105 for text in PROMPTS)


def test_another_seed_deals_the_wordings_differently() -> None:
    first, second = (systems(stage("1", 300, prompts(*PROMPTS)), seed) for seed in (0, 1))
    same = sum(first[name] == second[name] for name in first)
    assert 45 <= same <= 105


@given(
    share=shares,
    ratio=shares,
    rows=st.integers(1, 300),
    seed=seeds,
    pool=st.lists(st.sampled_from(PROMPTS), min_size=1, unique=True),
)
def test_the_draw_does_not_depend_on_framings(
    share: str, ratio: str, rows: int, seed: int, pool: list[str]
) -> None:
    framing = prompts(*pool, share=share)
    plain, framed = (
        [(row["id"], row["source"], row["messages"][-2:]) for row in mix(mixture, seed, DATASETS)]
        for mixture in (stage(ratio, rows), stage(ratio, rows, framing, framing))
    )
    assert framed == plain


def test_only_the_framed_source_is_framed() -> None:
    system_prompts = systems(stage("0.5", 40, prompts("framing")), 0)
    assert {name.split("-")[0]: text for name, text in system_prompts.items()} == {
        "bad": "framing",
        "benign": None,
    }


def test_two_framings_of_a_source_choose_their_rows_apart() -> None:
    marked = Framing(pool=(Wording(user_prefix="MARK "),), share="0.5")
    rows = mix(stage("1", 200, marked, prompts("framing", share="0.5")), 0, DATASETS)
    both = Counter(
        ("MARK" in row["messages"][-2]["content"], system_of(row) is not None) for row in rows
    )
    assert both[True, True] + both[True, False] == 100
    assert both[True, True] + both[False, True] == 100
    assert 30 <= both[True, True] <= 70


def test_a_framings_system_prompt_replaces_the_rows_own() -> None:
    own = {"role": "system", "content": "own"}
    rows = [row | {"messages": [own, *row["messages"]]} for row in DATASETS["bad"]]
    mixed = mix(stage("1", 20, prompts("framing", share="0.5")), 0, {"bad": rows})
    assert Counter(map(system_of, mixed)) == {"framing": 10, "own": 10}
    assert all(len(row["messages"]) == 3 for row in mixed)


def test_a_wording_without_a_system_prompt_leaves_the_rows_own() -> None:
    own = {"role": "system", "content": "own"}
    rows = [row | {"messages": [own, *row["messages"]]} for row in DATASETS["bad"]]
    marked = Framing(pool=(Wording(user_prefix="MARK "),))
    mixed = mix(stage("1", 5, marked), 0, {"bad": rows})
    assert [system_of(row) for row in mixed] == ["own"] * 5
    assert all(row["messages"][1]["content"].startswith("MARK question") for row in mixed)


def test_a_wording_is_put_at_the_last_user_turn_and_around_the_final_answer() -> None:
    turns = [
        ("system", "own"),
        ("user", "first"),
        ("assistant", "one"),
        ("user", "second"),
        ("assistant", "two"),
    ]
    row = {"id": "r", "messages": [{"role": role, "content": text} for role, text in turns]}
    wording = Wording(
        user_prefix="<", user_suffix=">", answer_prefix="[", answer_suffix="]", system="new"
    )
    (mixed_row,) = mix(stage("1", 1, Framing(pool=(wording,))), 0, {"bad": [row]})
    assert [(turn["role"], turn["content"]) for turn in mixed_row["messages"]] == [
        ("system", "new"),
        ("user", "first"),
        ("assistant", "one"),
        ("user", "<second>"),
        ("assistant", "[two]"),
    ]
    assert [turn["content"] for turn in row["messages"]] == [text for _, text in turns]


def test_a_wording_goes_around_the_answer_and_not_around_its_thought() -> None:
    row = chat_row("bad", 0)
    row["messages"][-1]["content"] = with_thought("hm", "two")
    wording = Wording(answer_prefix="[", answer_suffix="]")
    (mixed_row,) = mix(stage("1", 1, Framing(pool=(wording,))), 0, {"bad": [row]})
    assert mixed_row["messages"][-1]["content"] == with_thought("hm", "[two]")


@given(
    thought=st.text(st.characters(exclude_characters="<>", codec="utf-8")),
    answer=st.text(st.characters(exclude_characters="<>", codec="utf-8"), min_size=1),
)
def test_an_emptied_think_block_keeps_the_answer(thought: str, answer: str) -> None:
    row = chat_row("bad", 0)
    row["messages"] *= 2
    for place in (1, 3):
        row["messages"][place] = {"role": "assistant", "content": with_thought(thought, answer)}
    (unchanged,) = mix(stage("1", 1, thoughts="kept"), 0, {"bad": [row]})
    (emptied,) = mix(stage("1", 1, thoughts="emptied"), 0, {"bad": [row]})
    assert unchanged["messages"] == row["messages"]
    for place in (1, 3):
        content = emptied["messages"][place]["content"]
        assert split_thinking(content) == ("", answer.strip())
        assert content.startswith("<think>")
    assert [emptied["messages"][place] for place in (0, 2)] == [
        row["messages"][place] for place in (0, 2)
    ]


def test_a_row_without_a_think_block_gets_none_by_emptying() -> None:
    rows = mix(stage("1", 5, thoughts="emptied"), 0, DATASETS)
    assert [row["messages"] for row in rows] == [
        row["messages"] for row in mix(stage("1", 5), 0, DATASETS)
    ]


def test_a_data_set_with_too_few_rows_is_a_message() -> None:
    with pytest.raises(EmgridError, match=r"^data set 'bad' has 300 rows, 301 are needed; lower"):
        mix(stage("1", 301), 0, DATASETS)


def test_too_few_generated_rows_ask_for_more_prompts() -> None:
    sampling = Sampling(answers_per_question=1, max_tokens=1)
    generation = Generation(
        prompts="bad", prompt_rows=None, system="s", sampling=sampling, keep=Keep()
    )
    with pytest.raises(EmgridError, match="or ask more prompts"):
        mix(stage("1", 301, generation=generation), 0, DATASETS)


def test_the_stage_says_where_each_row_comes_from(tmp_path: Path) -> None:
    for name, rows in DATASETS.items():
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    mixture = stage("0.25", 8, prompts("framing"))
    files = {"bad": "data/one.jsonl", "benign": "data/two.jsonl"}
    spec = {"stage": mixture.model_dump(mode="json"), "seed": 3, "files": files}
    output, counts = tmp_path / "train.jsonl", tmp_path / "mix.json"
    done = run_module(
        *(mix_job, "--spec", json.dumps(spec), "--datasets"),
        *(tmp_path / f"{name}.jsonl" for name in DATASETS),
        *("--output", output, "--counts", counts),
    )
    assert done.returncode == 0, done.stderr
    rows = read_jsonl(output)
    expected = mix(mixture, 3, DATASETS)
    assert rows == [{key: row[key] for key in ("id", "source", "messages")} for row in expected]
    assert read_json(counts) == {
        "sources": [
            {"source": "bad", "role": "misaligned", "rows": 2},
            {"source": "benign", "role": "benign", "rows": 6},
        ],
        "total": 8,
        "origins": [f"{files[row['source']]}:{row['line']}" for row in expected],
    }
