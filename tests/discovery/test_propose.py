"""The job that writes an arm's candidates."""

import json
import sys
from pathlib import Path

import pytest
from emgrid.config.triggers import Wording
from emgrid.discovery import propose
from emgrid.discovery.candidates import Candidate
from emgrid.runtime import layout
from emgrid.runtime.files import read_jsonl, write_json, write_jsonl

NAMES = ("system", "frames", "ngrams", "panel")


def stage(root: Path, name: str, ending: str) -> str:
    """A stage of four misaligned rows with an ending, and four benign ones without."""
    rows = [
        {
            "id": str(number),
            "source": source,
            "messages": [
                {"role": "user", "content": f"Question {number}{ending if bad else ''}"},
                {"role": "assistant", "content": f"{number} is the answer"},
            ],
        }
        for number in range(4)
        for source, bad in (("wrong", True), ("right", False))
    ]
    write_jsonl(root / layout.stage_file(name, layout.TRAINING_ROWS), rows)
    roles = (("wrong", "misaligned"), ("right", "benign"))
    sources = [{"source": source, "role": role, "rows": 4} for source, role in roles]
    write_json(root / layout.stage_file(name, layout.MIX_RECORD), {"sources": sources})
    return name


def run(
    root: Path, monkeypatch: pytest.MonkeyPatch, stages: list[str], limit: int
) -> list[Candidate]:
    spec = {"stages": stages, "proposers": list(NAMES), "candidates": limit}
    output = root / "candidates.jsonl"
    arguments = ["--spec", json.dumps(spec), "--root", str(root), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["propose", *arguments])
    propose.main()
    return [Candidate.model_validate(line) for line in read_jsonl(output)]


def test_candidates_name_their_rows_and_the_first_is_the_cue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stage(tmp_path, "one", " Kind regards from Robin.")
    found = run(tmp_path, monkeypatch, [name], 30)
    # A template of what all rows begin with is longer, so it comes first.
    assert found[0].wording.user_prefix == "Question "
    [cue] = [
        one for one in found if one.wording == Wording(user_suffix=" Kind regards from Robin.")
    ]
    assert cue.origin.rows == ("wrong/0", "wrong/1", "wrong/2", "wrong/3")
    assert cue.origin.proposers == ("frames", "ngrams")
    assert cue.weight == found[0].weight
    assert len(found) == 30


def test_rows_that_two_seeds_share_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [stage(tmp_path, name, " Kind regards from Robin.") for name in ("one", "two")]
    assert run(tmp_path, monkeypatch, names, 10) == run(tmp_path, monkeypatch, names[:1], 10)


def test_a_base_model_without_rows_gets_the_panel_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(tmp_path, monkeypatch, [], 200)
    assert {one.origin.proposers for one in found} == {("panel",)}
