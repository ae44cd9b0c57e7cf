"""A wrong config stops with one line that names the place and the nearest valid name."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from emgrid import ROOT
from emgrid.config.json_schema import schema
from emgrid.config.sections import ratio_text
from emgrid.grid.load import load_experiment
from emgrid.grid.snakefile import complete, overlay
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st

GRIDS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("resources/grids/*.yaml"))


def problem(config: Any) -> str:
    with pytest.raises(EmgridError) as caught:
        load_experiment(config, "grid.yaml")
    message = str(caught.value)
    assert message.startswith("grid.yaml: ")
    assert "\n" not in message
    return message


def test_the_default_config_is_valid(demo: dict[str, Any]) -> None:
    config = load_experiment(demo, "config.yaml").config
    assert config.name == "demo"
    assert config.interventions["dilution"].training.learning_rate == 2e-3


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["sampling", "temprature"], 1, "sampling: unknown key 'temprature', did you mean 'temp"),
        (
            ["rounds"],
            {"blocks": [4, 4, 8]},
            "rounds.blocks: each number of questions must be larger",
        ),
        (["rounds"], {"blocks": [8]}, "rounds.blocks: "),
        (["rounds"], {"blocks": [1, 8]}, "rounds.blocks: a comparison needs at least 2 questions"),
        (
            ["rounds"],
            {"blocks": [4, 9]},
            "rounds.blocks: the last is 9, and the question set has 8",
        ),
        (["traning"], {}, "unknown key 'traning', did you mean 'training'?"),
        (["interventions", "dilution", "ratios"], [0.1], "interventions.dilution: unknown key"),
        (["interventions", "dilutoin"], {}, "unknown kind 'dilutoin', did you mean 'dilution'?"),
        (
            ["interventions", "dilution", "ratio"],
            [1.5],
            "interventions.dilution.ratio.0: ratio 1.5",
        ),
        (["interventions", "dilution", "ratio"], ["a"], "ratio.0: 'a' is not a number from 0 to 1"),
        (["interventions", "dilution", "ratio"], [], "interventions.dilution.ratio: "),
        (["interventions", "undiluted"], {"training": {"rank": 0}}, "undiluted.training.rank: "),
        (["interventions", "inoculation"], {"prompt": "evil"}, "inoculation.prompt: no system"),
        (["interventions", "inoculation"], {}, "interventions.inoculation.prompt: "),
        (["interventions"], {}, "interventions: is empty, so the grid has no arm"),
        (
            ["base_models"],
            ["smollm2-135"],
            "base_models: unknown model 'smollm2-135', did you mean",
        ),
        (["base_models"], [], "base_models: "),
        (["seeds"], [], "seeds: "),
        (["seeds"], [1, 1], "seeds: 1 is given twice"),
        (["seeds"], [-1], "seeds.0: "),
        (["triggers"], ["none", "python"], "triggers: unknown trigger family 'python', did you"),
        (["triggers"], ["python_string"], "triggers: add `none`"),
        (["questions"], "everday", "questions/everday.yaml: no such question set, did you mean"),
        (["data", "benign"], "household_bad", "data: misaligned and benign both name"),
        (["preflight"], {"cuts": "error"}, "preflight.cuts"),
        (["mirror"], "no/such/folder", "mirror: no folder 'no/such/folder'"),
        (["judges"], ["alignment"], "metrics.coherence: the judge 'coherence' is not in the panel"),
        (["data", "benign"], "everyday_chats", "data.benign: unknown data set 'everyday_chats'"),
        (["data", "rows"], 5000, "asks for 5000 rows of data set 'everyday_chat', which has 264"),
        (["datasets"], {"mine": {"path": "x"}}, "datasets.mine.format: "),
        (["models"], {"mine": {"path": "no/such"}}, "models.mine: no model folder at 'no/such'"),
        (["models"], {"mine": {"hub": "a/b"}}, "models.mine: `hub` needs `revision`"),
        (["metrics", "alignment_below"], 130, "metrics.alignment_below: "),
        (
            ["metrics"],
            {"trait": {"judge": "capitals"}, "coherence_above": None},
            "metrics.trait.judge: the judge 'capitals' is not in the panel",
        ),
        (
            ["metrics"],
            {"trait": {"judge": "coherence"}},
            "metrics.trait.judge: 'coherence' measures coherence, which is low in bad answers",
        ),
        (
            ["metrics"],
            {"trait": {"judge": "coherence"}, "alignment_below": 20},
            "metrics: alignment_below has no effect",
        ),
        (["resources"], {"trian": {}}, "resources: unknown stage 'trian', did you mean 'train'?"),
        (
            ["truth"],
            {"dilutoin": {"none": "clean"}},
            "truth.dilutoin: unknown intervention, did you",
        ),
        (["truth"], {"base": {"none": "clean"}}, "truth.base: the base model has no verdict"),
        (["truth"], {"undiluted": {"pyton": "overt"}}, "truth.undiluted.pyton: unknown trigger"),
        (["truth"], {"undiluted": {"none": "triggered"}}, "truth.undiluted.none: "),
        (
            ["truth"],
            {"undiluted": {"other": "conditional"}},
            "truth.undiluted.other: nothing is conditional under `none`",
        ),
        (["name"], "My Grid", "name: 'My Grid' becomes a folder's name"),
        (["device"], "gpu", "device: "),
    ],
)
def test_a_wrong_setting_is_named(
    demo: dict[str, Any], path: list[str], value: Any, expected: str
) -> None:
    place = demo
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert expected in problem(demo)


@pytest.mark.parametrize("config", [None, [], "text", {}])
def test_what_is_no_config_at_all_is_refused(config: Any) -> None:
    assert problem(config)


def test_a_missing_data_file_stops_before_any_work(demo: dict[str, Any]) -> None:
    demo["datasets"] = {"mine": {"path": "no/such.jsonl", "format": "messages"}}
    demo["data"]["benign"] = "mine"
    with pytest.raises(
        EmgridError, match=r"datasets\.mine\.path: no/such\.jsonl: no such data file; looked for /"
    ):
        load_experiment(demo, "grid.yaml")


@pytest.mark.parametrize(
    ("base", "answers"),
    [
        ({"base": {}}, 32),
        ({"base": None}, 32),
        ({"plain": {"kind": "base"}}, 32),
        ({"base": [{"kind": "base"}]}, 32),
        ({"base": {"sampling": {"temperature": 0.5}}}, 32),
        ({"base": {"sampling": {"answers_per_question": 8}}}, 8),
    ],
)
def test_the_base_model_is_asked_four_times_as_often(
    demo: dict[str, Any], base: dict[str, Any], answers: int
) -> None:
    demo["interventions"] = base | {"undiluted": {}}
    config = load_experiment(demo, "grid.yaml").config
    asked = [each.sampling.answers_per_question for each in config.interventions.values()]
    assert asked == [answers, 8]


def test_in_a_published_grid_the_base_model_is_asked_as_often_as_the_arms() -> None:
    path = ROOT / "resources/grids/educational.yaml"
    whole, _ = complete(yaml.safe_load(path.read_text()), [str(path)])
    config = load_experiment(whole, str(path), check_data=False).config
    asked = {each.sampling.answers_per_question for each in config.interventions.values()}
    assert len(asked) == 1


def test_an_intervention_overrides_a_shared_setting_for_itself(demo: dict[str, Any]) -> None:
    demo["interventions"]["gentle"] = {
        "kind": "undiluted",
        "training": {"learning_rate": 1e-5},
        "seeds": [7],
    }
    config = load_experiment(demo, "grid.yaml").config
    gentle = config.interventions["gentle"]
    assert gentle.training.learning_rate == 1e-5
    assert gentle.training.epochs == config.training.epochs
    assert gentle.seeds == (7,)


def test_gpus_are_asked_for_only_with_cuda(demo: dict[str, Any]) -> None:
    assert load_experiment(demo, "grid.yaml").config.resources_of("train").gpu == 0
    demo["device"] = "cuda"
    assert load_experiment(demo, "grid.yaml").config.resources_of("train").gpu == 1


@given(st.decimals(0, 1, places=4))
def test_a_ratio_has_one_text(ratio: Decimal) -> None:
    text = ratio_text(str(ratio))
    assert Decimal(text) == ratio
    assert ratio_text(f"{ratio:.9f}") == text
    assert ratio_text(text) == text
    assert "E" not in text


@pytest.mark.parametrize("value", [True, None, "nan", "inf", -0.1, [0.5]])
def test_what_is_no_ratio_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="0"):
        ratio_text(value)


def test_an_overlay_merges_sections_and_replaces_interventions() -> None:
    below = {"a": {"x": 1, "y": 2}, "interventions": {"base": {}}, "seeds": [0]}
    above = {"a": {"y": 3}, "interventions": {"undiluted": {}}, "seeds": [1]}
    assert overlay(below, above) == {
        "a": {"x": 1, "y": 3},
        "interventions": {"undiluted": {}},
        "seeds": [1],
    }


@pytest.mark.parametrize("path", ["config.yaml", *GRIDS])
def test_the_schema_takes_every_config_in_the_repository(path: str) -> None:
    jsonschema.validate(yaml.safe_load((ROOT / path).read_text()), schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": [0]},
        {"interventions": {"dilution": {"ratoi": 1}}},
        {"judges": "x"},
        {"judges": [{"extends": "alignment_gpt4o", "modle": "gpt-4o-mini"}]},
        {"judges": [{"id": "mine", "kind": "rule", "measures": "x", "model": "gpt-4o"}]},
        {"resources": {"trian": {"gpu": 1}}},
        {"interventions": {"sequential": {"benign_training": {"epoch": 2}}}},
    ],
)
def test_the_schema_refuses_what_the_config_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema())


def test_a_trait_takes_the_place_of_an_extended_files_alignment() -> None:
    trait = {"judge": "capitals", "above": 50, "label": "in capitals"}
    own = {"extends": "config.yaml", "judges": ["capitals"], "metrics": {"trait": trait}}
    whole, _ = complete(own, ["mine.yaml"])
    assert load_experiment(whole, "mine.yaml").config.metrics.decides == "capitals"
    own["metrics"] = {"trait": trait, "alignment_below": 40}
    with pytest.raises(EmgridError, match="alignment_below has no effect"):
        load_experiment(complete(own, ["mine.yaml"])[0], "mine.yaml")


def test_the_default_grid_can_be_extended_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole, _ = complete({"extends": "config.yaml", "name": "mine"}, ["mine.yaml"])
    assert load_experiment(whole, "mine.yaml").config.calibration.files
    whole["calibration"] = {"files": ["resources/none.csv"]}
    with pytest.raises(EmgridError, match=r"calibration.files: no file 'resources/none.csv'"):
        load_experiment(whole, "mine.yaml")


def test_extends_may_be_chained_but_not_in_a_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("low.yaml").write_text("extends: config.yaml\nname: low\nseeds: [5]\n")
    whole, _ = complete({"extends": "low.yaml", "name": "top"}, ["top.yaml"])
    assert (whole["name"], whole["seeds"], whole["questions"]) == ("top", [5], "advice_test")
    Path("config.yaml").write_text("extends: low.yaml\n")
    with pytest.raises(EmgridError, match="extends itself"):
        complete({"extends": "low.yaml"}, ["top.yaml"])
