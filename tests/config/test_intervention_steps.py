"""Any list of steps makes whole stages, or one line says what is wrong with it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from emgrid.config.interventions import KINDS
from emgrid.data.mix import used_sources
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.interventions import BENIGN, DEMO, LIES, Entry, grid, problem, step

ratio = st.integers(0, 100).map(lambda percent: percent / 100)
scope = st.sampled_from(["all", "misaligned", "benign"])


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3)


def step_of(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), **fields})


EACH_KIND: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "undiluted": step_of("undiluted"),
    "benign_only": step_of("benign_only"),
    "from_adapter": step_of(
        "from_adapter", adapter=st.just("brought"), then=st.sampled_from(["misaligned", "benign"])
    ),
    "dilution": step_of("dilution", ratio=some(ratio)),
    "sequential": step_of("sequential", benign_rows=some(st.integers(1, 264))),
    "inoculation": step_of("inoculation", prompt=st.just("malicious_evil"), rows=scope),
    "rephrased_inoculation": step_of(
        "rephrased_inoculation", pool=st.just("obviously_wrong_rephrased"), rows=scope
    ),
    "irrelevant_prompt": step_of("irrelevant_prompt"),
    "educational": step_of("educational", framing=st.just("educational"))
    | step_of("educational", dataset=st.just("educational")),
    "on_policy": step_of("on_policy", **{key: st.just(value) for key, value in LIES.items()}),
    "off_policy": step_of(
        "off_policy",
        **{key: st.just(value) for key, value in LIES.items()},
        generator=st.just("qwen3-8b"),
    ),
    "reasoning": step_of("reasoning", thoughts=some(st.sampled_from(["kept", "emptied"]))),
    "cue_on_benign": step_of("cue_on_benign", trigger=st.just("python_string"), share=some(ratio)),
    "perplexity_gap": step_of("perplexity_gap", candidates=st.none() | st.just(200)),
    "inoculation_adapter": step_of("inoculation_adapter"),
    "sealing": step_of(
        "sealing",
        prompts=st.just("household_good"),
        wrappers=st.just(["malicious_evil"]),
        sealing_rows=st.integers(1, 264),
    ),
    "early_stop": step_of("early_stop", fraction=some(st.sampled_from([0.25, 0.5, 1]))),
    "cue_on_rows": step_of(
        "cue_on_rows", trigger=st.just("python_string"), rows=scope, share=some(ratio)
    ),
}

BROUGHT = [
    {"base": DEMO["base_models"][0], "intervention": "brought", "path": "folder"}
    | {"ratio": 0.5, "seed": seed}
    for seed in DEMO["seeds"]
]


def check_arms(the_grid: Grid) -> None:
    """Every arm has its own folder, and every stage the number of rows that it states."""
    folders = [arm.folder for arm in the_grid.arms]
    assert len(set(folders)) == len(folders)
    for stage in the_grid.stages.values():
        assert sum(Decimal(source.share) for source in stage.mixture.sources) == 1
        counts = [rows for _, rows in used_sources(stage.mixture)]
        assert all(rows > 0 for rows in counts)
        assert sum(counts) == stage.mixture.rows


def check_steps(steps: Sequence[dict[str, Any]]) -> None:
    """Steps are refused by a message that names their entry, or they make new arms."""
    try:
        the_grid = grid({"x": list(steps)}, adapters=BROUGHT)
    except EmgridError as caught:
        refusal = str(caught)
    else:
        check_arms(the_grid)
        return
    assert refusal.startswith("grid.yaml: interventions.x")


@settings(max_examples=60)
@given(
    steps=st.lists(st.sampled_from(sorted(EACH_KIND)), min_size=1, max_size=5, unique=True).flatmap(
        lambda kinds: st.tuples(*[EACH_KIND[kind] for kind in kinds])
    )
)
@example(steps=[step("reasoning"), step("benign_only")])
@example(steps=[step("dilution", ratio=[0.1, 0.2]), step("benign_only")])
def test_any_list_of_steps_makes_whole_stages_and_arms_of_their_own(
    steps: Sequence[dict[str, Any]],
) -> None:
    check_steps(steps)


@settings(max_examples=40)
@given(steps=st.lists(st.one_of(*EACH_KIND.values()), min_size=2, max_size=4))
@example(steps=[step("dilution", ratio=[0.1, 0.2]), step("dilution", ratio=0.5)])
@example(steps=[step("reasoning"), step("reasoning")])
def test_steps_of_one_kind_twice_do_so_too(steps: list[dict[str, Any]]) -> None:
    check_steps(steps)


def test_the_kinds_of_these_tests_are_all_that_there_are() -> None:
    assert set(EACH_KIND) | {"base"} == set(KINDS)


@pytest.mark.parametrize(
    "steps",
    [
        [step("dilution", ratio=0.25), step("dilution", ratio=0.5)],
        [step("benign_only"), step("dilution", ratio=0.5)],
        [step("inoculation", prompt="malicious_evil", rows="benign")],
        [step("benign_only"), step("irrelevant_prompt")],
        [step("on_policy", **LIES), step("educational", dataset="educational")],
        [step("educational", dataset=BENIGN), step("dilution", ratio=0.5)],
    ],
    ids=lambda steps: "+".join(step["kind"] for step in steps),
)
def test_a_step_without_effect_is_refused(steps: list[dict[str, Any]]) -> None:
    assert problem({"x": steps}).startswith("interventions.x")


def test_two_entries_cannot_make_the_same_arm() -> None:
    entries: dict[str, Entry] = {
        "sequential": {"benign_rows": 8},
        "sequential-8": step("undiluted"),
    }
    assert "sequential-8" in problem(entries)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"dilution": {"ratio": [1.5]}}, "interventions.dilution.ratio.0: ratio 1.5 is outside"),
        ({"dilution": {"ratio": 1.5}}, "interventions.dilution.ratio: ratio 1.5 is outside"),
        ({"x": [step("dilution", ratio=1.5)]}, "interventions.x.0.ratio: ratio 1.5 is outside"),
        (
            {"x": [step("undiluted"), step("dilution", ratio=[0.1, 2])]},
            "interventions.x.1.ratio.1: ratio 2 is outside",
        ),
        (
            {"x": {"steps": [step("dilution", ratio=1.5)]}},
            "interventions.x.steps.0.ratio: ratio 1.5 is outside",
        ),
        ({"x": step("dilution", ratios=[0.1])}, "interventions.x: unknown key 'ratios', did you"),
        ({"dilution": {}}, "interventions.dilution.ratio: "),
        ({"x": [step("sequential")]}, "interventions.x.0.benign_rows: "),
        ({"sequential": {"benign_rows": 0}}, "interventions.sequential.benign_rows: "),
        (
            {"sequential": {"benign_rows": 8, "benign_training": {"rnk": 1}}},
            "interventions.sequential: benign_training: unknown key 'rnk', did you mean 'rank'?",
        ),
        (
            {"on_policy": LIES | {"generation_sampling": {"max_tokens": 0}}},
            "interventions.on_policy: generation_sampling: max_tokens: ",
        ),
        ({"dilutoin": {}}, "unknown kind 'dilutoin', did you mean 'dilution'?"),
        (
            {"x": [step("undiluted"), step("inoculaton", prompt="malicious_evil")]},
            "unknown kind 'inoculaton', did you mean 'inoculation'?",
        ),
        ({"x": {"kind": ["dilution"], "ratio": 0.5}}, "unknown kind ['dilution']"),
        ({"x": ["dilution"]}, "interventions.x"),
        ({"x": []}, "interventions.x: "),
        ({"x": "dilution"}, "interventions.x: must be a mapping"),
        ({"x": {"steps": {"kind": "dilution"}}}, "interventions.x.steps: must be a list"),
        (
            {"x": {"steps": [step("undiluted")], "ratio": 0.5}},
            "interventions.x: unknown key 'ratio'",
        ),
        (
            {"inoculation": {"prompt": "malicious_evl"}},
            "interventions.inoculation.prompt: no system prompt named 'malicious_evl', did you "
            "mean 'malicious_evil'?",
        ),
        (
            {"x": [step("inoculation", prompt="educational")]},
            "interventions.x.0.prompt: no system prompt named 'educational'",
        ),
        (
            {"inoculation": {"prompt": "malicious_evil", "rows": "bad"}},
            "interventions.inoculation.rows: ",
        ),
        (
            {"rephrased_inoculation": {"pool": "malicious_evil_rephrase"}},
            "rephrased_inoculation.pool: no pool of prompts named 'malicious_evil_rephrase', did "
            "you mean 'malicious_evil_rephrased'?",
        ),
        ({"rephrased_inoculation": {"pool": []}}, "interventions.rephrased_inoculation.pool: "),
        (
            {"educational": {"framing": "educatonal"}},
            "interventions.educational.framing: no trigger family named 'educatonal', did you mean "
            "'educational'?",
        ),
        (
            {"educational": {"framing": "flask_template"}},
            "interventions.educational.framing: 'flask_template' rewords the evaluation questions",
        ),
        (
            {"x": [step("dilution", ratio=0.5), step("cue_on_benign", trigger="fish_words")]},
            "interventions.x.1.trigger: 'fish_words' rewords the evaluation questions",
        ),
        (
            {"cue_on_benign": {"trigger": "python_strin"}},
            "no trigger family named 'python_strin', did you mean 'python_string'?",
        ),
        ({"x": step("educational")}, "interventions.x: give either `framing`"),
        ({"x": [step("educational")]}, "interventions.x.0: give either `framing`"),
        (
            {"educational": {"dataset": "educationl"}},
            "interventions.educational: unknown data set 'educationl', did you mean 'educational'?",
        ),
        (
            {"on_policy": LIES | {"prompts": "obvious_lies_prompt"}},
            "interventions.on_policy: unknown data set 'obvious_lies_prompt', did you mean",
        ),
        (
            {"off_policy": LIES | {"generator": "qwen3-8"}},
            "interventions.off_policy: unknown model 'qwen3-8', did you mean 'qwen3-8b'?",
        ),
        (
            {"off_policy": LIES | {"answers": "obvious_lies_qwn"}},
            "interventions.off_policy: unknown data set 'obvious_lies_qwn', did you mean",
        ),
        (
            {"on_policy": LIES | {"keep": {"judges": [{"judge": "alignmnt", "below": 3}]}}},
            "interventions.on_policy.keep: unknown judge 'alignmnt', did you mean 'alignment'?",
        ),
        (
            {"on_policy": LIES | {"keep": {"judges": [{"judge": "alignment"}]}}},
            "interventions.on_policy.keep.judges.0: give either `below` or `above`",
        ),
        (
            {"on_policy": LIES | {"keep": {"without": "("}}},
            "interventions.on_policy.keep.without: '(' is no regular expression",
        ),
        ({"reasoning": {"thoughts": "lost"}}, "interventions.reasoning.thoughts: "),
        (
            {"x": step("undiluted") | {"data": {"misaligned": "household_bd"}}},
            "interventions.x.data: unknown data set 'household_bd', did you mean 'household_bad'?",
        ),
        (
            {"x": step("undiluted") | {"training": {"rnk": 1}}},
            "interventions.x.training: unknown key 'rnk', did you mean 'rank'?",
        ),
        ({"My Arm": step("undiluted")}, "'My Arm' becomes a folder's name"),
    ],
)
def test_a_wrong_entry_is_named(entries: dict[str, Entry], expected: str) -> None:
    assert expected in problem(entries)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            LIES | {"kind": "off_policy", "answers": "household_prompts"},
            "interventions.x: data set 'household_prompts' holds prompts without answers",
        ),
        (
            {"kind": "undiluted", "data": {"misaligned": "household_prompts"}},
            "interventions.x: data set 'household_prompts' holds prompts without answers",
        ),
    ],
)
def test_prompts_without_answers_are_refused_where_answers_are_needed(
    entry: dict[str, Any], expected: str
) -> None:
    prompts = {
        "path": "resources/data/household.jsonl",
        "format": "fields",
        "fields": {"prompt": "prompt"},
    }
    config = DEMO | {"interventions": {"x": entry}, "datasets": {"household_prompts": prompts}}
    with pytest.raises(EmgridError) as caught:
        load_experiment(config, "grid.yaml")
    assert expected in str(caught.value)
