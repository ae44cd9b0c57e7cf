"""`auto`: the engine and the number of jobs follow from the machine once, and are then kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from emgrid import ROOT
from emgrid.config.engine_choice import EngineChoice
from emgrid.grid.engine_choice import Machine, choose, keep_choice, settle
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.snakefile import read_grid
from emgrid.grid.specs.sample import sample_spec
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import write_text
from hypothesis import given
from hypothesis import strategies as st

FOUR = Machine(frozenset({"vllm"}), ("0", "1", "2", "3"))
BARE = Machine()


@pytest.mark.parametrize(
    ("machine", "device", "gpus", "rank", "engine", "jobs", "why"),
    [
        (FOUR, "cuda", 1, 32, "vllm", 4, "vLLM is installed, 4 GPUs visible"),
        (FOUR, "cuda", 2, 32, "vllm", 2, "vLLM is installed, 4 GPUs visible"),
        (FOUR, "cuda", 8, 32, "vllm", 1, "vLLM is installed, 4 GPUs visible"),
        (FOUR, "cuda", 1, 1024, "transformers", 4, "adapters of rank 512 at most"),
        (FOUR, "cpu", 1, 32, "transformers", 1, "device is cpu"),
        (FOUR._replace(installed=frozenset()), "cuda", 1, 32, "transformers", 4, "not installed"),
        (FOUR._replace(devices=()), "cuda", 1, 32, "vllm", 1, "no GPU visible here"),
        (FOUR._replace(devices=("0",)), "cuda", 1, 32, "vllm", 1, "1 GPU visible"),
        (BARE, "cuda", 1, 32, "transformers", 1, "vLLM is not installed, no GPU visible here"),
    ],
)
def test_the_choice_follows_from_the_machine(
    machine: Machine, device: str, gpus: int, rank: int, engine: str, jobs: int, why: str
) -> None:
    choice = choose(machine, device, gpus, [8, rank])
    assert (choice.engine, choice.jobs) == (engine, jobs)
    assert why in choice.why


def config(**sections: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "device": "cuda",
        "training": {"rank": 8},
        "sampling": {"engine": "auto", "max_tokens": 8},
        "engines": {"jobs": "auto"},
        "interventions": {
            "lies": {"steps": [{"kind": "on_policy", "generation_sampling": {"engine": "auto"}}]},
            "plain": {"sampling": {"engine": "transformers"}},
        },
    } | sections


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, in which results are looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMGRID_STARTED_IN", raising=False)
    folder = tmp_path / "results/mine"
    folder.mkdir(parents=True)
    return folder


def test_auto_is_replaced_wherever_sampling_is_set() -> None:
    value, choice = settle(config(), FOUR)
    assert choice is not None
    assert value["sampling"] == {"engine": "vllm", "max_tokens": 8}
    assert value["engines"] == {"jobs": 4}
    steps = value["interventions"]["lies"]["steps"]
    assert steps[0]["generation_sampling"] == {"engine": "vllm"}
    assert value["interventions"]["plain"]["sampling"] == {"engine": "transformers"}
    assert "auto" not in json.dumps(value)


def test_a_config_without_auto_is_left_alone(project: Path) -> None:
    value = config(sampling={"engine": "vllm"}, engines={"jobs": 2}, interventions={})
    assert settle(value, BARE) == (value, None)
    assert keep_choice(None, project) is None
    assert list(project.iterdir()) == []


MACHINES = st.builds(
    Machine,
    st.sampled_from([frozenset(), frozenset({"vllm"})]),
    st.lists(st.sampled_from("abcdefgh"), unique=True).map(tuple),
)


@given(MACHINES, MACHINES)
def test_a_grid_that_moves_keeps_its_engine_and_jobs(first: Machine, second: Machine) -> None:
    folder = Path("results/mine")
    (folder / "engines.json").unlink(missing_ok=True)
    value, choice = settle(config(), first)
    assert choice is not None
    said = keep_choice(choice, folder)
    assert said is not None
    assert choice.why in said
    moved, kept = settle(config(), second)
    assert (moved, kept) == (value, choice)
    assert keep_choice(kept, folder) is None


def test_answers_that_are_older_than_auto_keep_their_engine(project: Path) -> None:
    """The ready grids said transformers before; an update must not draw their answers again."""
    for name in ("qwen2.5-7b.transformers.0", "qwen2.5-7b.transformers-float32.2"):
        write_text(project / f"specs/sample.{name}.json", "{}")
    _, before = settle(config(), FOUR)
    assert before is not None
    assert before.engine == "vllm"  # a run that drew nothing binds nobody
    write_text(project / "rows/answers/arm.jsonl", "{}\n")
    _, choice = settle(config(), FOUR)
    assert choice is not None
    assert (choice.engine, choice.jobs) == ("transformers", 3)


def test_a_broken_record_is_one_line(project: Path) -> None:
    write_text(project / "engines.json", '{"engine": "vllm"')
    with pytest.raises(EmgridError, match=r"engines.json: not JSON .*; delete it to choose again"):
        settle(config(), FOUR)
    write_text(project / "engines.json", '{"engine": "llama", "jobs": 1, "why": ""}')
    with pytest.raises(EmgridError, match="engine"):
        settle(config(), FOUR)


@pytest.mark.parametrize(
    ("sampling", "message"),
    [({"engine": "fast"}, "'fast' is none of auto, transformers and vllm"), (None, "sampling")],
)
def test_a_wrong_engine_is_named(demo: dict[str, Any], sampling: Any, message: str) -> None:
    wrong = None if sampling is None else demo["sampling"] | sampling
    with pytest.raises(EmgridError, match=message):
        load_experiment(demo | {"sampling": wrong}, "grid.yaml", check_data=False)


def test_the_spec_of_an_answer_names_the_engine_that_was_chosen(demo: dict[str, Any]) -> None:
    value = demo | {"device": "cuda", "engines": {"jobs": "auto"}}
    value |= {"sampling": demo["sampling"] | {"engine": "auto"}}
    grids = {
        machine: Grid(load_experiment(value, "grid.yaml", check_data=False, machine=machine))
        for machine in (FOUR, BARE)
    }
    assert 1 < len(grids[FOUR].buckets) <= 4
    assert len(grids[BARE].buckets) == 1
    for machine, engine in ((FOUR, "vllm"), (BARE, "transformers")):
        bucket = grids[machine].buckets[0]
        spec = json.loads(sample_spec(grids[machine], bucket))
        assert {arm["sampling"]["engine"] for arm in spec["arms"]} == {engine}
        assert f".{engine}." in bucket.name


def test_ready_grids_of_gpus_use_them() -> None:
    grid = read_grid(ROOT / "resources/grids/open-text.yaml", FOUR)
    assert {arm.sampling.engine for arm in grid.trained} == {"vllm"}
    assert grid.config.engines.jobs == 4
    assert isinstance(grid.experiment.chosen, EngineChoice)
