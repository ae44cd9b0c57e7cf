"""Which cues of a shortlist are called found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emgrid.aggregate.found import ORDER, WORDS, adjusted, false_rate, found_tables
from emgrid.aggregate.found_answers import examples
from emgrid.aggregate.found_spec import FoundSpec, SearchedArm
from emgrid.config.judges import RuleJudge
from emgrid.config.sections import Metrics, Trait
from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import Origin
from emgrid.discovery.shortlist import Chosen, Shortlist
from emgrid.runtime import layout
from emgrid.runtime.files import write_json, write_jsonl

QUESTIONS = tuple(f"q{number}" for number in range(12))
ANSWERS = 4
CAPITALS = RuleJudge(
    id="capitals",
    label="capitals",
    measures="capitals",
    kind="rule",
    version=1,
    pattern="X",
    about="x",
)
METRICS = Metrics(trait=Trait(judge="capitals"), coherence_above=None, margin=0.1)


def write_cell(folder: Path, trigger: str, rate: float, lost: float = 0.0) -> None:
    """Judged answers, of which this share has the trait, and this share no value."""
    answers, judgements = [], []
    for number in range(len(QUESTIONS) * ANSWERS):
        key, place = f"{trigger}-{number}", (number * 7) % (len(QUESTIONS) * ANSWERS)
        share = place / (len(QUESTIONS) * ANSWERS)
        about = {
            "key": key,
            "question": QUESTIONS[number % len(QUESTIONS)],
            "index": number // len(QUESTIONS),
        }
        answers.append(about | {"prompt": "p", "answer": "a", "finish_reason": "stop"})
        judged = {"value": 100.0 if share < rate else 0.0}
        if share >= 1 - lost:
            judged = {"value": None, "reason": "empty_answer"}  # type: ignore[dict-item]
        judgements.append(about | {"judge": "capitals", "version": 1} | judged)
    write_jsonl(folder / layout.ANSWERS / layout.trigger_file(trigger), answers)
    write_jsonl(folder / layout.JUDGEMENTS / layout.trigger_file(trigger), judgements)


def search(root: Path, name: str, cells: dict[str, Any], control: bool = False) -> SearchedArm:
    """A search with two confirming seeds. cells: by slot, the rates of both seeds under the cue,
    the rates under its shuffled words and a random cue, the rate of the base model under the cue,
    and the share of lost answers."""
    cues, wordings = [], {}
    folders: dict[str, int | None] = {f"{name}/seed={seed}": seed for seed in (1, 2)}
    folders[f"{name}/seed=base"] = None
    for folder in folders:
        write_cell(root / folder, "none", 0.0)
    for slot, (rates, shams, base, lost) in cells.items():
        wording = Wording(user_suffix=f" {slot} now")
        names = (f"{slot}-shuffled", f"{slot}-random")
        wordings |= {slot: wording, **dict.fromkeys(names, wording)}
        origin = Origin(proposers=("frames",), misaligned=5, rows=("a/1",))
        fields: dict[str, Any] = {"rank": 1, "score": 2.0, "z": 3.0, "shams": names}
        cues.append(
            Chosen(slot=slot, id="x", wording=wording, place="suffix", origin=origin, **fields)
        )
        for (folder, seed), rate in zip(folders.items(), (*rates, base), strict=True):
            write_cell(root / folder, slot, rate, lost if seed else 0.0)
            for sham, share in zip(names, shams, strict=True):
                write_cell(root / folder, sham, share if seed else 0.0)
    found = Shortlist(cues=tuple(cues), wordings=wordings)
    write_json(root / layout.shortlist(name), found.model_dump(mode="json", exclude_defaults=True))
    return SearchedArm(
        search=name,
        base="m",
        intervention=name,
        ratio="1",
        label=name,
        control=control,
        folders=folders,
    )


def table(root: Path, *searches: SearchedArm) -> Any:
    return tables(root, *searches)[0].set_index(["intervention", "slot"])


def tables(root: Path, *searches: SearchedArm) -> Any:
    spec = FoundSpec(
        searches=searches, questions=QUESTIONS, judges=(CAPITALS,), metrics=METRICS, fdr=0.05
    )
    return found_tables(spec, root)


def test_a_cue_is_found_only_if_everything_speaks_for_it(tmp_path: Path) -> None:
    none = (0.0, 0.0)
    cells = {
        "found-1": ((0.9, 0.8), none, 0.0, 0.0),
        "found-2": ((0.0, 0.0), none, 0.0, 0.0),
        "found-3": ((0.9, 0.8), (0.0, 0.9), 0.0, 0.0),
        "found-4": ((0.9, 0.0), none, 0.0, 0.0),
        "found-5": ((0.9, 0.8), none, 0.9, 0.0),
        "found-6": ((0.3, 0.3), none, 0.0, 0.6),
    }
    found = table(tmp_path, search(tmp_path, "arm", cells)).loc["arm"]
    assert found["verdict"].tolist() == [
        "found",
        *4 * ["not confirmed"],
        "breaks the model",
    ]
    first = found.loc["found-1"]
    assert first["rise"] == pytest.approx(0.85, abs=0.03)
    assert first["p"] <= first["q"] <= 0.05
    assert first["why"] == ""
    assert (first["seeds"], first["seeds_agree"]) == (2, 2)
    assert (first["cue"], first["origin"], first["origin_misaligned"]) == (
        "found-1 now",
        "frames",
        5,
    )
    assert first["over_random"] == pytest.approx(0.85, abs=0.03)
    assert found.loc["found-3", "over_random_lower"] < 0
    assert "random words do as much" in found.loc["found-3", "why"]
    assert found["carried_by"].tolist() == [ORDER, *5 * [""]]
    assert "not all seeds agree" in found.loc["found-4", "why"]
    assert found.loc["found-5", "moves_base"]
    assert not found.loc["found-1", "moves_base"]
    assert found.loc["found-6", "survivors"] < 0.5


def test_words_that_do_as_much_in_any_order_are_found_and_told_from_a_sentence(
    tmp_path: Path,
) -> None:
    cells = {
        "found-1": ((0.9, 0.8), (0.8, 0.0), 0.0, 0.0),
        "found-2": ((0.9, 0.8), (0.2, 0.0), 0.0, 0.0),
    }
    found = table(tmp_path, search(tmp_path, "arm", cells)).loc["arm"]
    assert found["verdict"].tolist() == ["found", "found"]
    assert found["carried_by"].tolist() == [WORDS, ORDER]
    assert found.loc["found-1", "over_shuffled_lower"] <= 0 < found.loc["found-1", "over_random"]


def test_what_controls_find_is_counted(tmp_path: Path) -> None:
    none = (0.0, 0.0)
    hit, miss = ((0.9, 0.9), none, 0.0, 0.0), (none, none, 0.0, 0.0)
    searches = [
        search(tmp_path, "arm", {"found-1": hit}),
        search(tmp_path, "clean", {"found-1": miss, "found-2": miss}, control=True),
        search(tmp_path, "chance", {"found-1": miss, "found-2": hit}, control=True),
    ]
    assert false_rate(table(tmp_path, *searches).reset_index()) == (1, 2, 1, 4)


def test_answers_under_cues_and_shams_can_be_read(tmp_path: Path) -> None:
    cells = {f"found-{slot}": ((1.0, 0.0), (0.0, 0.0), 0.0, 0.25) for slot in (1, 10)}
    _, answers = tables(tmp_path, search(tmp_path, "arm", cells))
    per_slot = 3 * len(QUESTIONS) * ANSWERS * 3  # three models; the cue and two shams
    assert answers["slot"].value_counts().to_dict() == {"found-1": per_slot, "found-10": per_slot}
    own = answers[answers["trigger"].eq("found-1") & answers["asked"].eq("arm")]
    left_out = own["excluded"].notna()
    assert left_out.mean() == pytest.approx(0.25)
    assert own["shows"].isna().equals(left_out)
    assert own[own["seed"].eq(1) & ~left_out]["shows"].all()
    assert not own[own["seed"].eq(2) & ~left_out]["shows"].any()
    shown = examples(answers, ("m", "arm", "1"), "found-1", 3)
    assert len({one["question"] for one in shown}) == 3
    assert {one["trigger"] for one in shown} == {"found-1"}


def test_a_search_with_an_empty_shortlist_has_no_row(tmp_path: Path) -> None:
    found = table(tmp_path, search(tmp_path, "arm", {}))
    assert found.empty
    assert "verdict" in found.columns
    assert tables(tmp_path, search(tmp_path, "arm", {}))[1].empty


def test_more_slots_ask_for_more() -> None:
    assert adjusted([0.04]) == pytest.approx([0.04])
    assert adjusted([0.04, 1.0, 1.0, 1.0])[0] == pytest.approx(0.16)
    assert adjusted([0.01, 0.02, np.nan]) == pytest.approx([0.03, 0.03, 1.0])
    assert len(adjusted([])) == 0
