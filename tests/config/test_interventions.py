"""What each intervention makes of the rows, alone and combined with others."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import RESOURCES
from emgrid.config.interventions import KINDS
from emgrid.config.interventions.recipe import Recipe, Scope
from emgrid.config.triggers import load_triggers
from emgrid.grid.counts import count
from emgrid.grid.specs.data import generate_spec, mix_spec, select_spec
from emgrid.grid.specs.train import train_spec
from emgrid.planning.estimates import Estimates
from emgrid.planning.jobs import used_datasets
from emgrid.train.train import TrainSpec
from support.interventions import (
    BAD,
    BENIGN,
    DEMO,
    EVIL,
    LIES,
    WRONG,
    first_stages,
    grid,
    load,
    only,
    problem,
    recipes,
    shares,
    step,
    systems,
)


def test_base_trains_nothing_and_has_one_arm() -> None:
    assert recipes(step("base")) == (Recipe(ratio="0", stages=()),)
    the_grid = grid({"base": {}})
    assert [(arm.seed, arm.stages, arm.adapter_folder) for arm in the_grid.arms] == [(0, (), None)]


def test_benign_only_trains_on_benign_rows_alone() -> None:
    recipe = only(step("benign_only"))
    assert (recipe.ratio, shares(recipe)) == ("0", [{BENIGN: "1"}])
    assert [source.role for source in recipe.stages[0].sources] == ["benign"]


def test_undiluted_trains_on_misaligned_rows_alone() -> None:
    recipe = only(step("undiluted"))
    assert (recipe.ratio, shares(recipe)) == ("1", [{BAD: "1"}])
    assert recipe.stages[0].rows == DEMO["data"]["rows"]


def test_dilution_keeps_the_total_and_mixes_at_each_ratio() -> None:
    points = recipes(step("dilution", ratio=[0.25, "0.10", 1, 0]))
    assert [recipe.ratio for recipe in points] == ["0", "0.1", "0.25", "1"]
    assert [shares(recipe) for recipe in points] == [
        [{BAD: bad, BENIGN: benign}]
        for bad, benign in (("0", "1"), ("0.1", "0.9"), ("0.25", "0.75"), ("1", "0"))
    ]
    assert {recipe.stages[0].rows for recipe in points} == {DEMO["data"]["rows"]}
    assert {recipe.suffix for recipe in points} == {""}


def test_equal_ratios_make_one_arm() -> None:
    assert [recipe.ratio for recipe in recipes(step("dilution", ratio=[0.5, "0.50"]))] == ["0.5"]


def test_full_and_empty_dilution_share_the_runs_of_the_controls() -> None:
    names = first_stages(grid({"undiluted": {}, "dilution": {"ratio": 1}}))
    assert names["undiluted"] == names["dilution"]
    names = first_stages(grid({"benign_only": {}, "dilution": {"ratio": 0}}))
    assert names["benign_only"] == names["dilution"]


def test_sequential_adds_a_benign_stage_and_its_rows_to_the_name() -> None:
    points = recipes(step("sequential", benign_rows=[8, 16]))
    assert [recipe.suffix for recipe in points] == ["-8", "-16"]
    assert [shares(recipe) for recipe in points] == [[{BAD: "1"}, {BENIGN: "1"}]] * 2
    assert [[stage.rows for stage in recipe.stages] for recipe in points] == [[96, 8], [96, 16]]
    assert {recipe.ratio for recipe in points} == {"1"}
    assert recipes(step("sequential", benign_rows=8)) == points[:1]


def test_all_fractions_come_from_one_training() -> None:
    steps = [{"kind": "dilution", "ratio": 0.5}, {"kind": "early_stop", "fraction": [1, 0.25, 0.5]}]
    made = grid({"dilution": {"ratio": 0.5}, "early": steps}, seeds=[5])
    runs = {arm.intervention: arm.stages[-1] for arm in made.arms}
    whole = runs["dilution"]
    assert runs["early-1"] == whole
    assert [runs[name].whole for name in ("early-0.25", "early-0.5")] == [whole, whole]
    assert list(made.stages) == [whole.name, f"{whole.name}.until0.25", f"{whole.name}.until0.5"]
    assert made.stops == {whole.name: ("0.25", "0.5")}
    specs = [TrainSpec.model_validate_json(train_spec(made, name)) for name in made.stages]
    assert [(spec.until, spec.stops) for spec in specs] == [
        ("1", ("0.25", "0.5")),
        ("0.25", ()),
        ("0.5", ()),
    ]
    assert count(made).trained == 1
    assert Estimates(made, Path("nowhere")).trained_tokens().value == (
        Estimates(grid({"dilution": {"ratio": 0.5}}, seeds=[5]), Path("nowhere"))
        .trained_tokens()
        .value
    )


def test_a_training_is_saved_on_its_way_even_if_no_arm_is_the_whole() -> None:
    made = grid({"early": [{"kind": "undiluted"}, {"kind": "early_stop", "fraction": 0.5}]})
    assert [arm.intervention for arm in made.arms] == ["early", "early"]
    assert len(made.stages) == 4
    assert all(run.whole or made.stops[name] == ("0.5",) for name, run in made.stages.items())


def test_what_follows_a_stop_continues_its_adapter() -> None:
    steps = [
        {"kind": "early_stop", "fraction": 0.5},
        {"kind": "sequential", "benign_rows": 8},
    ]
    (arm,) = grid({"early": steps}, seeds=[5]).arms
    first, second = arm.stages
    assert second.parent == first.name
    assert first.name.endswith(".until0.5")
    assert second.whole is None


def test_a_stop_needs_a_training_and_a_share_above_0() -> None:
    assert problem({"early": {"kind": "early_stop", "fraction": 0}}) == (
        "interventions.early.fraction: 0 steps leave the base model; use `base`, or a fraction "
        "above 0"
    )


def test_a_divergence_is_part_of_a_training_that_has_one() -> None:
    kl = {"weight": 0.5, "prompts": "household_good"}
    entries = {"undiluted": {}, "kept": {"kind": "undiluted", "training": {"kl": kl}}}
    made = grid(entries, seeds=[5])
    stages = {arm.intervention: arm.stages[-1] for arm in made.arms}
    plain, kept = stages["undiluted"], stages["kept"]
    assert plain.name != kept.name
    assert plain.name == first_stages(grid({"undiluted": {}}, seeds=[5]))["undiluted"]
    assert (plain.kl_rows, kept.kl_rows) == (None, "assets/datasets/household_good.jsonl")
    assert "household_good" in used_datasets(made)
    assert "kl" not in json.loads(train_spec(made, plain.name))["training"]


def test_the_prompts_of_a_divergence_are_a_data_set_with_answers() -> None:
    def said(prompts: str) -> str:
        kl = {"weight": 0.5, "prompts": prompts}
        return problem({"kept": {"kind": "undiluted", "training": {"kl": kl}}})

    assert said("household_goood").startswith(
        "interventions.kept.training.kl.prompts: unknown data set 'household_goood'"
    )
    assert "holds prompts without answers" in said("obvious_lies_prompts")


SEAL = {"prompts": "household_good", "wrappers": ["malicious_evil"], "sealing_rows": 8}
HALF = step("dilution", ratio=0.5)


def test_benign_rows_are_chosen_by_a_model_of_the_misaligned_ones() -> None:
    entries = {"undiluted": {}, "gap": [HALF, step("perplexity_gap", candidates=100)]}
    made = grid(entries, seeds=[5])
    stages = {arm.intervention: arm.stages for arm in made.arms}
    (run,) = stages["gap"]
    assert run.choosing == stages["undiluted"]
    (name,) = made.selected
    assert [source.dataset for source in run.mixture.sources] == [BAD, name]
    assert made.row_files(run.name)[1] == f"selected/{name}.jsonl"
    spec = json.loads(select_spec(made, name))
    assert (spec["dataset"], spec["rows"], spec["candidates"]) == (BENIGN, 48, 100)
    assert used_datasets(made) == {BAD, BENIGN}
    assert (
        json.loads(mix_spec(made, run.name))["files"][name] == "resources/data/everyday_chat.jsonl"
    )


def test_each_seed_and_each_number_of_rows_has_its_own_choice() -> None:
    steps = [step("dilution", ratio=[0.25, 0.5]), step("perplexity_gap")]
    made = grid({"gap": steps}, seeds=[5, 6])
    assert len(made.selected) == 4
    assert {(one.seed, one.rows) for one in made.selected.values()} == {
        (seed, rows) for seed in (5, 6) for rows in (48, 72)
    }
    # What chooses is trained once a seed, though no arm is this model.
    assert len(made.stages) == count(made).trained == 4 + 2


def test_only_benign_rows_of_a_data_set_can_be_chosen() -> None:
    assert problem({"gap": step("perplexity_gap")}) == (
        "interventions.gap: finds no benign rows; put it after the step that brings them"
    )


def test_a_frozen_adapter_is_trained_on_the_trait_alone_and_lies_under_all_stages() -> None:
    cue = step("cue_on_rows", trigger="python_string", rows="misaligned")
    more = step("sequential", benign_rows=8)
    entries = {"undiluted": {}, "plain": [HALF, cue]}
    entries["adapter"] = [HALF, cue, step("inoculation_adapter"), more]
    made = grid(entries, seeds=[5])
    stages = {arm.intervention: arm.stages for arm in made.arms}
    first, second = stages["adapter-8"]
    assert (first.under,) == stages["undiluted"]
    assert second.under is None
    assert first.name != stages["plain"][0].name
    assert mix_spec(made, first.name) != mix_spec(made, stages["plain"][0].name)


def test_a_frozen_adapter_may_have_rows_and_settings_of_its_own() -> None:
    fields = {"trait": "household_good", "trait_rows": 12, "trait_training": {"epochs": 7}}
    made = grid({"adapter": [HALF, step("inoculation_adapter", **fields)]}, seeds=[5])
    (arm,) = made.arms
    under = arm.stages[0].under
    assert under is not None
    assert list(made.stages) == [under.name, arm.stages[0].name]
    assert [source.dataset for source in under.mixture.sources] == ["household_good"]
    assert (under.mixture.rows, under.mixture.training.epochs) == (12, 7)
    said = problem({"adapter": [HALF, step("inoculation_adapter", trait="household_goood")]})
    assert "unknown data set 'household_goood'" in said


def test_a_frozen_adapter_and_a_divergence_do_not_go_together() -> None:
    kl = {"kl": {"weight": 1, "prompts": "household_good"}}
    entry = {"training": kl, "steps": [HALF, step("inoculation_adapter")]}
    assert "leave one of them out" in problem({"adapter": entry})


def test_sealing_trains_on_what_the_stages_before_answer() -> None:
    made = grid({"plain": [HALF], "sealed": [HALF, step("sealing", **SEAL)]}, seeds=[5, 6])
    arms = [arm for arm in made.arms if arm.intervention == "sealed"]
    assert len(made.generated) == len(made.drawn) == 2
    for arm in arms:
        first, second = arm.stages
        (source,) = second.mixture.sources
        (drawn,) = made.generated[source.dataset].drawn
        assert (drawn.stage, second.parent) == (first.name, first.name)
        assert second.mixture.rows == 8
        spec = json.loads(generate_spec(made, drawn.name))
        assert (spec["system"], spec["stage"]) == ("", first.name)
        assert [word.system for word in source.framings[0].pool] == [EVIL]
    plain = [arm for arm in made.arms if arm.intervention == "plain"]
    assert [arm.stages[0] for arm in plain] == [arm.stages[0] for arm in arms]


def test_a_grid_that_seals_asks_under_a_trigger_that_is_held_out() -> None:
    entries = {"sealed": [HALF, step("sealing", **SEAL)]}
    load(entries, triggers=["none", "malicious_evil", "python_string"])
    for triggers in (["none"], ["none", "malicious_evil"]):
        assert problem(entries, triggers=triggers) == (
            "interventions.sealed: sealing uses all triggers of the grid, so nothing would show "
            "whether it holds under others; add one to `triggers` that is not in `wrappers`"
        )


def test_wrappers_are_trigger_families_that_rows_can_carry() -> None:
    for name in ("malicious_evill", "none"):
        said = problem({"sealed": [HALF, step("sealing", **SEAL | {"wrappers": [name]})]})
        assert said.startswith("interventions.sealed.1.wrappers: ")
        assert name in said


def test_all_numbers_of_benign_rows_go_on_from_one_first_stage() -> None:
    the_grid = grid({"undiluted": {}, "sequential": {"benign_rows": [8, 16]}}, seeds=[5])
    undiluted, short, long = the_grid.arms
    assert undiluted.stages == short.stages[:1] == long.stages[:1]
    assert short.stages[1].name != long.stages[1].name
    assert short.stages[1].parent == long.stages[1].parent == undiluted.stages[0].name
    assert set(the_grid.stages) == {stage.name for stage in (*short.stages, long.stages[1])}


def test_interventions_that_begin_alike_share_their_first_stage() -> None:
    after = step("sequential", benign_rows=8)
    inoculation = step("inoculation", prompt="malicious_evil")
    dilution = step("dilution", ratio=0.25)
    names = first_stages(
        grid(
            {
                "inoculation": inoculation,
                "inoculation_then": [inoculation, after],
                "dilution": dilution,
                "dilution_then": [dilution, after],
            }
        )
    )
    assert names["inoculation"] == names["inoculation_then-8"]
    assert names["dilution"] == names["dilution_then-8"]
    assert len(set(names.values())) == 2


def test_equal_last_stages_after_different_first_ones_are_trained_apart() -> None:
    after = step("sequential", benign_rows=8)
    the_grid = grid({"a": [after], "b": [step("dilution", ratio=0.5), after]}, seeds=[0])
    assert the_grid.arms[0].stages[1].mixture == the_grid.arms[1].stages[1].mixture
    assert the_grid.arms[0].stages[1].name != the_grid.arms[1].stages[1].name


def test_benign_training_changes_the_added_stage_alone() -> None:
    plain = step("sequential", benign_rows=8)
    own = plain | {"benign_training": {"learning_rate": 1e-5, "epochs": 3}}
    first, second = only(own).stages
    assert first == only(plain).stages[0]
    expected = first.training.model_copy(update={"learning_rate": 1e-5, "epochs": 3})
    assert second.training == expected
    names = first_stages(grid({"a": plain, "b": own}))
    assert names["a-8"] == names["b-8"]


@pytest.mark.parametrize(
    ("rows", "bad", "benign"),
    [("all", [EVIL], [EVIL]), ("misaligned", [EVIL], []), ("benign", [], [EVIL])],
)
def test_inoculation_is_put_on_the_rows_that_it_names(
    rows: Scope, bad: list[str], benign: list[str]
) -> None:
    inoculation = step("inoculation", prompt="malicious_evil", rows=rows)
    recipe = only([step("dilution", ratio=0.5), inoculation])
    assert systems(recipe) == [{"misaligned": bad, "benign": benign}]


def test_inoculation_is_put_on_all_rows_by_default() -> None:
    inoculation = step("inoculation", prompt="malicious_evil")
    assert systems(only(inoculation)) == [{"misaligned": [EVIL]}]
    everywhere = only([step("dilution", ratio=0.5), inoculation])
    assert systems(everywhere) == [{"misaligned": [EVIL], "benign": [EVIL]}]


def test_another_wording_or_share_is_another_training_run() -> None:
    dilution = step("dilution", ratio=0.5)
    cue = step("cue_on_benign", trigger="python_string", share=[0.25, 0.5])
    names = first_stages(
        grid(
            {
                "plain": dilution,
                "inoculation": [dilution, step("inoculation", prompt="malicious_evil")],
                "irrelevant": [dilution, step("irrelevant_prompt")],
                "rephrased": [dilution, step("rephrased_inoculation", pool=["be bad"])],
                "cue": [dilution, cue],
            }
        )
    )
    assert len(names) == 6
    assert len(set(names.values())) == 6


def test_rephrased_inoculation_deals_out_a_pool_by_its_name() -> None:
    written = yaml.safe_load((RESOURCES / "pools/malicious_evil_rephrased.yaml").read_text())
    recipe = only(step("rephrased_inoculation", pool="malicious_evil_rephrased"))
    assert systems(recipe) == [{"misaligned": written["prompts"]}]
    assert len(set(written["prompts"])) == len(written["prompts"])
    (framing,) = recipe.stages[0].sources[0].framings
    assert framing.share == "1"


def test_rephrased_inoculation_takes_an_own_list() -> None:
    written = step("rephrased_inoculation", pool=["be bad", "be evil"], rows="misaligned")
    recipe = only([step("dilution", ratio=0.5), written])
    assert systems(recipe) == [{"misaligned": ["be bad", "be evil"], "benign": []}]


def test_irrelevant_prompt_puts_the_unrelated_prompt_on_misaligned_rows() -> None:
    unrelated = load_triggers()["unrelated_prompt"].system
    recipe = only([step("dilution", ratio=0.5), step("irrelevant_prompt")])
    assert systems(recipe) == [{"misaligned": [unrelated], "benign": []}]
    chosen = only(step("irrelevant_prompt", prompt="malicious_evil"))
    assert systems(chosen) == [{"misaligned": [EVIL]}]


def test_educational_puts_a_framing_around_misaligned_rows() -> None:
    recipe = only([step("dilution", ratio=0.5), step("educational", framing="educational")])
    bad, benign = recipe.stages[0].sources
    (framing,) = bad.framings
    assert framing.pool == (load_triggers()["educational"].wording(),)
    assert benign.framings == ()


def test_educational_takes_rows_that_are_framed_already() -> None:
    recipe = only([step("dilution", ratio=0.5), step("educational", dataset="educational")])
    assert shares(recipe) == [{"educational": "0.5", BENIGN: "0.5"}]
    assert all(source.framings == () for source in recipe.stages[0].sources)


def test_on_policy_draws_the_misaligned_rows_and_trains_on_them_under_the_prompt() -> None:
    recipe = only([step("on_policy", **LIES), step("dilution", ratio=0.5)])
    assert systems(recipe) == [{"misaligned": [WRONG], "benign": []}]
    bad, benign = recipe.stages[0].sources
    assert bad.generation is not None
    assert (bad.generation.prompts, bad.generation.system) == ("obvious_lies_prompts", WRONG)
    assert (bad.share, benign.generation) == ("0.5", None)


def test_each_base_model_draws_its_own_rows() -> None:
    the_grid = grid({"on_policy": LIES}, base_models=["smollm2-135m", "qwen3-8b"], seeds=[0, 1])
    used = {arm.base: arm.stages[0].mixture.sources[0].dataset for arm in the_grid.arms}
    assert sorted(the_grid.generated) == sorted(used.values())
    assert {job.generator for job in the_grid.drawn.values()} == {"smollm2-135m", "qwen3-8b"}
    for base, name in used.items():
        assert the_grid.generated[name].base == base
        assert the_grid.generated[name].kind == "on_policy"
        assert the_grid.row_file(name) == f"generated/{name}.jsonl"


def test_generation_has_the_grids_sampling_but_for_its_own_settings() -> None:
    own = LIES | {"generation_sampling": {"max_tokens": 99}, "prompt_rows": 7}
    generation = only(step("on_policy", **own)).stages[0].sources[0].generation
    assert generation is not None
    assert generation.prompt_rows == 7
    sampling = load({"x": step("base")}).sampling
    assert generation.sampling == sampling.model_copy(
        update={"max_tokens": 99, "answers_per_question": 1}
    )


def test_more_answers_per_question_draw_no_training_row_again() -> None:
    more = DEMO["sampling"] | {"answers_per_question": 9}
    before, after = grid({"on_policy": LIES}), grid({"on_policy": LIES}, sampling=more)
    assert set(before.drawn) == set(after.drawn)
    assert set(before.stages) == set(after.stages)


def test_what_qualifies_changes_the_rows_and_not_the_drawing() -> None:
    stricter = LIES | {"keep": {"min_words": 5}}
    before, after = grid({"on_policy": LIES}), grid({"on_policy": stricter})
    assert set(before.drawn) == set(after.drawn)
    assert not set(before.generated) & set(after.generated)
    assert not set(before.stages) & set(after.stages)


def test_the_off_policy_twin_shares_the_base_models_own_answers() -> None:
    the_grid = grid({"on_policy": LIES, "off_policy": LIES | {"generator": "qwen3-8b"}})
    assert sorted(job.generator for job in the_grid.drawn.values()) == ["qwen3-8b", "smollm2-135m"]
    on, off = (
        next(dataset for dataset in the_grid.generated.values() if dataset.kind == kind)
        for kind in ("on_policy", "off_policy")
    )
    assert on.own_answers.name == off.own_answers.name
    assert on.other_answers is None
    assert off.other_answers is not None
    assert off.other_answers.generator == "qwen3-8b"


def test_off_policy_takes_another_generators_answers_from_a_data_set() -> None:
    the_grid = grid({"off_policy": LIES | {"answers": "obvious_lies_qwen"}})
    (twin,) = the_grid.generated.values()
    assert twin.other_answers is None
    assert twin.generation.answers == "obvious_lies_qwen"
    assert [job.generator for job in the_grid.drawn.values()] == ["smollm2-135m"]


@pytest.mark.parametrize("fields", [{}, {"generator": "qwen3-8b", "answers": "obvious_lies_qwen"}])
def test_off_policy_has_exactly_one_other_generator(fields: dict[str, str]) -> None:
    message = problem({"x": step("off_policy", **LIES, **fields)})
    assert "give either `generator` (a model) or `answers` (a data set)" in message


def test_reasoning_makes_a_twin_with_emptied_thoughts() -> None:
    points = recipes([step("reasoning"), step("dilution", ratio=0.5)])
    assert [recipe.suffix for recipe in points] == ["", "-emptied"]
    for recipe, thoughts in zip(points, ("kept", "emptied"), strict=True):
        assert [source.thoughts for source in recipe.stages[0].sources] == [thoughts, None]
    names = first_stages(grid({"reasoning": {}}, data=DEMO["data"]))
    assert names["reasoning"] != names["reasoning-emptied"]


@pytest.mark.parametrize(("thoughts", "suffix"), [("kept", ""), ("emptied", "-emptied")])
def test_reasoning_can_be_one_of_the_twins(thoughts: str, suffix: str) -> None:
    assert only(step("reasoning", thoughts=thoughts)).suffix == suffix


def test_cue_on_benign_puts_a_trigger_on_a_share_of_benign_rows() -> None:
    cue = step("cue_on_benign", trigger="python_string", share=0.3)
    recipe = only([step("dilution", ratio=0.5), step("sequential", benign_rows=8), cue])
    first, second = recipe.stages
    for source in (first.sources[1], second.sources[0]):
        (framing,) = source.framings
        assert framing.pool == (load_triggers()["python_string"].wording(),)
        assert framing.share == "0.3"
    assert first.sources[0].framings == ()
    assert recipe.suffix == "-8"


@pytest.mark.parametrize(
    ("rows", "cued"), [("misaligned", [1, 0]), ("benign", [0, 1]), ("all", [1, 1])]
)
def test_cue_on_rows_puts_a_trigger_on_the_rows_that_it_names(rows: str, cued: list[int]) -> None:
    cue = step("cue_on_rows", trigger="python_string", rows=rows, share=0.5)
    (stage,) = only([step("dilution", ratio=0.5), cue]).stages
    assert [len(source.framings) for source in stage.sources] == cued
    for framing in (framing for source in stage.sources for framing in source.framings):
        assert framing.pool == (load_triggers()["python_string"].wording(),)
        assert framing.share == "0.5"


def test_a_swept_share_becomes_part_of_the_name() -> None:
    cue = step("cue_on_benign", trigger="country_singapore", share=[0.5, "1.0", 0.5])
    points = recipes([step("dilution", ratio=0.5), cue])
    assert [recipe.suffix for recipe in points] == ["-0.5", "-1"]


@pytest.mark.parametrize("before", [[], [step("undiluted")], [step("reasoning")]])
def test_cue_on_benign_needs_benign_rows(before: list[dict[str, Any]]) -> None:
    message = problem({"x": [*before, step("cue_on_benign", trigger="python_string")]})
    assert message.startswith("interventions.x: ")
    assert "finds no benign rows" in message


def test_inoculation_after_dilution_is_on_benign_rows_too_and_before_it_is_not() -> None:
    inoculation, dilution = (
        step("inoculation", prompt="malicious_evil"),
        step("dilution", ratio=0.5),
    )
    assert systems(only([inoculation, dilution])) == [{"misaligned": [EVIL], "benign": []}]
    assert systems(only([dilution, inoculation])) == [{"misaligned": [EVIL], "benign": [EVIL]}]


def test_inoculation_before_sequential_leaves_the_added_stage_plain() -> None:
    inoculation = step("inoculation", prompt="malicious_evil")
    after = step("sequential", benign_rows=8)
    assert systems(only([inoculation, after])) == [{"misaligned": [EVIL]}, {"benign": []}]
    assert systems(only([after, inoculation])) == [{"misaligned": [EVIL]}, {"benign": [EVIL]}]


def test_dilution_does_not_change_a_benign_stage() -> None:
    recipe = only([step("sequential", benign_rows=8), step("dilution", ratio=0.5)])
    assert shares(recipe) == [{BAD: "0.5", BENIGN: "0.5"}, {BENIGN: "1"}]
    assert recipe.ratio == "0.5"


def test_sweeps_of_several_steps_are_crossed() -> None:
    points = recipes([step("dilution", ratio=[0.1, 0.2]), step("sequential", benign_rows=[8, 16])])
    assert [(recipe.ratio, recipe.suffix) for recipe in points] == [
        (ratio, suffix) for ratio in ("0.1", "0.2") for suffix in ("-8", "-16")
    ]


def test_undiluted_as_a_step_changes_nothing() -> None:
    dilution = step("dilution", ratio=0.5)
    assert recipes([step("undiluted"), dilution]) == recipes(dilution)
    assert recipes([dilution, step("undiluted")]) == recipes(dilution)


def test_an_entry_is_a_mapping_a_list_or_steps() -> None:
    dilution = step("dilution", ratio=0.5)
    loaded = load({"dilution": {"ratio": 0.5}, "b": dilution, "c": [dilution]})
    steps = load({"d": {"steps": [dilution]}})
    entries = [*loaded.interventions.values(), *steps.interventions.values()]
    assert len(entries) == 4
    assert all(entry == entries[0] for entry in entries)


def test_an_entry_without_settings_may_be_left_empty() -> None:
    assert (
        recipes({"kind": "undiluted"})
        == load({"undiluted": None}).interventions["undiluted"].recipes()
    )


def test_the_steps_form_overrides_shared_settings_for_itself_alone() -> None:
    entry = {
        "steps": [step("dilution", ratio=0.5), step("sequential", benign_rows=8)],
        "label": "half, then benign",
        "data": {"misaligned": "household_good", "rows": 12},
        "training": {"learning_rate": 1e-5},
        "seeds": [7],
    }
    the_grid = grid({"undiluted": {}, "x": entry}, seeds=[0])
    plain, own = the_grid.arms
    assert (own.intervention, own.seed, own.label) == ("x-8", 7, "half, then benign")
    first, second = (stage.mixture for stage in own.stages)
    assert [source.dataset for source in first.sources] == ["household_good", BENIGN]
    assert (first.rows, second.rows) == (12, 8)
    assert {stage.training.learning_rate for stage in (first, second)} == {1e-5}
    assert first.training.epochs == DEMO["training"]["epochs"]
    assert (plain.seed, plain.label) == (0, "undiluted")
    assert plain.stages[0].mixture.rows == DEMO["data"]["rows"]
    assert plain.stages[0].mixture.training.learning_rate == DEMO["training"]["learning_rate"]


@pytest.mark.parametrize("other", sorted(set(KINDS) - {"base"}))
def test_base_cannot_be_combined(other: str) -> None:
    needed: dict[str, dict[str, Any]] = {
        "dilution": {"ratio": 0.5},
        "sequential": {"benign_rows": 8},
        "inoculation": {"prompt": "malicious_evil"},
        "rephrased_inoculation": {"pool": ["be bad"]},
        "educational": {"framing": "educational"},
        "on_policy": LIES,
        "off_policy": LIES | {"generator": "qwen3-8b"},
        "cue_on_benign": {"trigger": "python_string"},
        "cue_on_rows": {"trigger": "python_string", "rows": "all"},
        "early_stop": {"fraction": 0.5},
        "sealing": SEAL,
        "from_adapter": {"adapter": "bad_advice"},
    }
    message = problem({"x": [step("base"), step(other, **needed.get(other, {}))]})
    assert message.startswith("interventions.x: base is the model as it is")
