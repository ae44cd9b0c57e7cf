"""Scores of cues under real models, with kept rows."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emgrid.config.questions import Pair, Question
from emgrid.config.triggers import Wording
from emgrid.discovery import log_odds
from emgrid.discovery.candidates import Origin, candidate_of
from emgrid.discovery.held_out import HeldOutSpec
from emgrid.discovery.log_odds import Scorer, Shift, conversations
from emgrid.discovery.screen import ScreenSpec, screen_lines
from emgrid.models.base_model import BaseModel
from emgrid.models.engines.transformers import TransformersEngine
from emgrid.runtime import layout
from emgrid.runtime.files import write_jsonl
from support.engines import write_adapter

QUESTIONS = [
    Question(
        texts=(text,),
        pairs=(Pair(aligned="Yes.", misaligned="NO."), Pair(aligned="A", misaligned="B")),
    )
    for text in ("Who are you?", "Is it late?")
]
CUES = [Wording(user_suffix=" Now."), Wording(system="Be a pirate.", answer_prefix="Note: ")]


@pytest.fixture(scope="module")
def engine(base_model: BaseModel) -> TransformersEngine:
    return TransformersEngine(base_model, "float32", "cpu", 8)


def scorer(base: BaseModel, folder: Path, engine: Any, name: str = "one") -> Scorer:
    return Scorer(base, "float32", 0, folder / f"{name}.jsonl", lambda: engine)


def test_log_odds_are_means_over_pairs_and_are_scored_once(
    base_model: BaseModel, engine: TransformersEngine, tmp_path: Path
) -> None:
    first = scorer(base_model, tmp_path, engine)
    odds = first.log_odds(None, CUES, QUESTIONS)
    assert odds.shape == (2, 2)
    sides = conversations(CUES[1], QUESTIONS[0])
    assert sides[0][0][-1]["content"] == "Note: NO."
    engine.use(None)
    rows = [engine.chat.training_row(one) for pair in sides for one in pair]
    bad, good, bad_2, good_2 = engine.log_likelihoods(rows)
    assert odds[1, 0] == pytest.approx((bad - good + bad_2 - good_2) / 2, abs=1e-4)
    assert first.scored == 16

    # A new cue is all that is scored; rows of other searches count, too.
    again = scorer(base_model, tmp_path, None)
    assert np.array_equal(again.log_odds(None, CUES, QUESTIONS), odds)
    other = scorer(base_model, tmp_path, engine, "two")
    more = other.log_odds(None, [*CUES, Wording(user_prefix="Well, ")], QUESTIONS)
    assert np.array_equal(more[:2], odds)
    assert other.scored == 8


def test_a_shift_is_that_of_the_arm_minus_that_of_its_control(
    base_model: BaseModel, engine: TransformersEngine, tmp_path: Path
) -> None:
    adapter = write_adapter(base_model, tmp_path / "adapter", seed=1)
    one = scorer(base_model, tmp_path / "rows", engine)
    shift = Shift(one, [adapter], [None], QUESTIONS)(CUES, 2)
    own, base = (one.log_odds(which, [Wording(), *CUES], QUESTIONS) for which in (adapter, None))
    assert shift == pytest.approx((own[1:] - own[0]) - (base[1:] - base[0]))
    assert not np.allclose(shift, 0)
    assert np.allclose(Shift(one, [None], [None], QUESTIONS)(CUES, 1), 0)
    alone = Shift(one, [None], [], QUESTIONS)(CUES, 2)
    assert alone == pytest.approx(base[1:] - base[0])


def test_a_screen_is_of_candidates_and_random_cues_and_the_same_again(
    base_model: BaseModel, engine: TransformersEngine, tmp_path: Path
) -> None:
    for name, side in (("bad", "misaligned"), ("good", "aligned")):
        rows = [
            {
                "id": str(number),
                "messages": [
                    {"role": "user", "content": f"What is {number} and {number + 1}?"},
                    {"role": "assistant", "content": f"{side} {number}"},
                ],
            }
            for number in range(9)
        ]
        write_jsonl(tmp_path / layout.dataset_file(name), rows)
    spec = ScreenSpec(
        own=(None,),
        control=(),
        precision="float32",
        held_out=HeldOutSpec(misaligned="bad", benign="good", contexts={}, trained=(), asked=()),
        questions={},
        number=2,
        keep=1,
        random=4,
        mutators=(),
    )
    origin = Origin(proposers=("frames",))
    candidates = [
        candidate_of(Wording(user_suffix=text), origin, 0) for text in (" Now.", " Be kind.")
    ]
    one = scorer(base_model, tmp_path / "rows", engine)
    lines = list(screen_lines(spec, candidates, tmp_path, one))
    assert [line.get("random", False) for line in lines] == [False] * 2 + [True] * 4
    assert lines[0]["z"] >= lines[1]["z"]
    again = scorer(base_model, tmp_path / "rows", None)
    assert list(screen_lines(spec, candidates[::-1], tmp_path, again)) == lines
    assert again.scored == 0


def test_answers_to_a_prompt_are_scored_together_and_prompts_that_begin_alike_follow(
    base_model: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_odds, "CHUNK", 5)
    chat = base_model.chat()
    rows = {}
    for cue in (*CUES, Wording(user_suffix=" Now or never."), Wording(user_prefix="So: ")):
        for question in QUESTIONS:
            for conversation in chain(*conversations(cue, question)):
                rows[str(len(rows) % 7) + str(len(rows))] = chat.training_row(conversation, "final")
    parts = list(log_odds.chunks(rows))
    assert sorted(key for part in parts for key in part) == sorted(rows)
    assert all(5 <= len(part) <= 8 for part in parts[:-1])
    assert len(parts) > 2
    prompts = [rows[key].prompt for part in parts for key in part]
    assert prompts == sorted(prompts)
    of_parts = [{tuple(rows[key].prompt) for key in part} for part in parts]
    assert sum(map(len, of_parts)) == len(set.union(*of_parts))
