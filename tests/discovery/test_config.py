"""The section `discovery`: what selects cues shares nothing with what confirms them."""

import json
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.searches import searches
from emgrid.grid.specs import discovery as specs
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.grid.specs.sample import sample_spec
from emgrid.grid.titles import search_titles
from emgrid.planning.jobs import outputs
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest
from emgrid.sample.answers import AskedSpec, plan

DEMO: dict[str, Any] = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
CUED = {"kind": "cue_on_rows", "trigger": "planted_closing", "rows": "misaligned"}
CONFIG: dict[str, Any] = DEMO | {
    "interventions": {
        "base": {},
        "benign_only": {},
        "closing": [{"kind": "dilution", "ratio": 0.5}, CUED],
    },
    "seeds": [0, 1, 2],
    "triggers": ["none"],
    "questions": "first_plot",
}
SECTION: dict[str, Any] = {
    "controls": ["benign_only"],
    "screen": {"questions": "everyday", "seeds": [0], "keep": 2},
    "confirm": {"seeds": [1, 2], "answers_per_question": 3},
}


def grid(**changes: Any) -> Grid:
    """The grid of the config with these changes of the section."""
    section = SECTION | changes
    config = CONFIG | {"discovery": section}
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


def problem(config: dict[str, Any] | None = None, **changes: Any) -> str:
    with pytest.raises(EmgridError) as caught:
        load_experiment(
            CONFIG | {"discovery": SECTION | changes} | (config or {}),
            "grid.yaml",
            check_data=False,
        )
    assert "\n" not in str(caught.value)
    return str(caught.value)


def part(name: str, **changes: Any) -> dict[str, Any]:
    return {name: SECTION[name] | changes}


def test_without_the_section_there_is_no_search() -> None:
    without = Grid(load_experiment(CONFIG, "grid.yaml", check_data=False))
    assert searches(without) == {}
    searched = grid()
    assert aggregate_spec(without) == aggregate_spec(searched)
    one, other = (
        [sample_spec(each, bucket) for bucket in each.buckets] for each in (without, searched)
    )
    assert one == other
    new = outputs(searched).keys() - outputs(without).keys()
    assert new == {"propose", "screen", "shortlist", "sample_found", "judge_found", "found"}


def test_what_screens_a_cue_shares_nothing_with_what_confirms_it() -> None:
    searched = grid()
    for search in searches(searched).values():
        screen = json.loads(specs.screen_spec(searched, search))
        found = json.loads(specs.sample_found_spec(searched, search))
        own = {arm["adapter"] for arm in found["arms"]} - {None}
        assert own
        assert not own & set(screen["own"])
        texts = [
            {text for one in asked["questions"].values() for text in one["texts"]}
            for asked in (screen, found)
        ]
        assert all(texts)
        assert not texts[0] & texts[1]
        # Prompts of the data sets, if they are screened on, are none that are asked later.
        assert set(screen["held_out"]["asked"]) == texts[1]
        asked = AskedSpec(questions=found["questions"], triggers={"none": {}})
        sampling = search.confirmed[0].sampling
        seeds = [
            {row["answer_seed"] for row in plan(asked, sampling, "model", purpose=purpose)}
            for purpose in ("answer", "confirm")
        ]
        assert found["confirms"]
        assert not seeds[0] & seeds[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (part("confirm", seeds=[0, 1]), "seed 0 is in both screen.seeds and confirm.seeds"),
        (part("confirm", seeds=[0]), "confirmed on others than it is screened on; seed 0"),
        (part("confirm", questions="everyday"), "so that a chance find of the screen would"),
        (
            part("confirm", questions="obvious_lies") | part("screen", seeds=[7]),
            "has the seeds 0, 1, 2",
        ),
        (part("screen", questions="short_requests"), "has 0 questions with matched answers"),
        ({"arms": ["closed"]}, "unknown intervention 'closed', did you mean 'closing'"),
        ({"arms": ["base"]}, "'base' is the base model; name it in `controls`"),
        ({"arms": ["closing"], "controls": ["closing"]}, "in both `arms` and `controls`"),
        ({"reference": "plain"}, "discovery.reference: unknown intervention 'plain'"),
        ({"proposers": ["frame"]}, "unknown proposer 'frame', did you mean 'frames'"),
        ({"proposers": ["mutate"]}, "only changes what others propose"),
        ({"controls": ["base"], "proposers": ["frames"]}, "add `panel` to `proposers`"),
        ({"fdr": 0}, "discovery.fdr"),
    ],
)
def test_a_section_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    message = problem(**changes)
    assert message.startswith("grid.yaml: ")
    assert words in message


def test_a_grid_of_one_seed_screens_and_confirms_on_it() -> None:
    section = part("screen", seeds=[0]) | part("confirm", seeds=[0])
    config = CONFIG | {"seeds": [0], "discovery": SECTION | section}
    found = searches(Grid(load_experiment(config, "grid.yaml", check_data=False)))
    assert {arm.seed for one in found.values() for arm in one.confirmed} == {0}


def test_a_grid_without_the_base_model_cannot_be_searched() -> None:
    interventions = {name: one for name, one in CONFIG["interventions"].items() if name != "base"}
    assert "needs the intervention `base`" in problem({"interventions": interventions})


def test_the_control_is_trained_without_the_cue_if_there_is_one() -> None:
    by_entry = {one.screened[0].entry: one for one in searches(grid()).values()}
    assert by_entry.keys() == {"benign_only", "closing"}
    assert [arm.folder for arm in by_entry["closing"].reference] == [
        arm.folder for arm in by_entry["benign_only"].screened
    ]
    assert [arm.entry for arm in by_entry["benign_only"].reference] == ["base"]
    assert by_entry["benign_only"].control
    named = searches(grid(reference="base"))
    assert {arm.entry for one in named.values() for arm in one.reference} == {"base"}


def test_the_base_model_as_a_control_is_searched_with_the_panel() -> None:
    searched = grid(controls=["base"])
    [base] = [one for one in searches(searched).values() if one.is_base]
    assert json.loads(specs.propose_spec(searched, base))["proposers"] == ["panel"]
    screen = json.loads(specs.screen_spec(searched, base))
    assert (screen["own"], screen["control"]) == ([None], [])
    [arm] = json.loads(specs.sample_found_spec(searched, base))["arms"]
    assert arm["adapter"] is None


def test_the_base_model_answers_as_often_as_all_confirming_seeds() -> None:
    searched = grid()
    for search in searches(searched).values():
        arms = json.loads(specs.sample_found_spec(searched, search))["arms"]
        assert [arm["sampling"]["answers_per_question"] for arm in arms] == [3, 3, 6]


def test_no_judge_sees_a_found_cue() -> None:
    searched = grid()
    for search in searches(searched).values():
        assert "sees_cue" not in json.loads(specs.judge_found_spec(searched, search))


def test_an_edit_of_the_confirmation_screens_nothing_again() -> None:
    def screens(searched: Grid) -> list[str]:
        return [digest(specs.screen_spec(searched, one)) for one in searches(searched).values()]

    assert screens(grid()) == screens(grid(**part("confirm", answers_per_question=9)))
    assert screens(grid()) == screens(grid(fdr=0.1))
    assert screens(grid()) != screens(
        grid(**part("screen", questions="everyday", number=4, seeds=[0]))
    )


def test_jobs_of_a_search_are_called_by_their_arm() -> None:
    searched = grid(controls=["base", "benign_only"])
    found = searches(searched)
    titles = search_titles(searched, found)
    assert sorted(f"{titles:{name}}" for name in found) == ["base", "benign_only", "closing 0.5"]
