"""One table of rules: what a message advises, and what a rule asks for, the config accepts."""

import copy
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from emgrid import ROOT
from emgrid.config.sections import StageResources
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.rule_inputs import job_resources
from emgrid.models.engines.vllm import ADVICE, fill_advice
from emgrid.planning.jobs import outputs
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import machine_problem, running_rule
from emgrid.runtime.rules import HELPERS, JOBS, RULES, SECTIONS, rule_of, unused
from hypothesis import given
from hypothesis import strategies as st

FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))
TEXT = {path.name: path.read_text() for path in FILES}
# A rule with its body.
WRITTEN = {
    found[1]: found[2]
    for text in TEXT.values()
    for found in re.finditer(r"^rule (\w+):\n((?:^[ \t].*\n|^\n|^#.*\n)*)", text, re.MULTILINE)
}
ASKED = re.compile(r"\b(?:want|job_resources)\([\"'](\w+)[\"']\)")
KEY = re.compile(r"\b(?:resources|engines|training|sampling)(?:\.\w+)+")
VALUES = {
    "batch_size": 4,
    "mem_mb": 5000,
    "max_length": 64,
    "method": "qlora",
    "gradient_checkpointing": True,
    "memory_share": 0.5,
    "lora_slots": 2,
    "context": 512,
    "max_tokens": 16,
    "rank": 4,
    "target_modules": ["q_proj"],
}


def accepts(demo: dict[str, Any], key: str) -> None:
    """Load the config with a key set that a message advises."""
    config = copy.deepcopy(demo)
    *sections, name = key.split(".")
    place = config
    for section in sections:
        place = place.setdefault(section, {})
    place[name] = VALUES[name]
    load_experiment(config, "grid.yaml", check_data=False)


def test_the_table_has_every_rule_and_no_other() -> None:
    assert WRITTEN.keys() - {"all"} == RULES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_asks_for_its_own_resources_and_runs_its_module(rule: str) -> None:
    body = WRITTEN[rule]
    assert set(ASKED.findall(body)) == {rule}
    modules = re.findall(r"-m emgrid\.([\w.]+)", body)
    assert modules == [RULES[rule].module]
    assert find_spec(f"emgrid.{RULES[rule].module}") is not None
    assert f'**job_resources("{rule}"),' in body
    assert ("{resources.claim}" in body) == RULES[rule].gpu


@pytest.mark.parametrize("rule", RULES)
def test_memory_and_time_grow_with_each_attempt(demo: dict[str, Any], rule: str) -> None:
    section = RULES[rule].section
    demo["resources"] = {section: {"mem_mb": 1500, "runtime": 7}}
    made = job_resources(load_experiment(demo, "grid.yaml", check_data=False).config, rule)
    for attempt in (1, 2, 3):
        assert made["mem_mb"](None, attempt=attempt) == 1500 * attempt
        assert made["runtime"](None, attempt=attempt) == 7 * attempt
    assert ("gpu" in made, "claim" in made) == (RULES[rule].gpu, RULES[rule].gpu)


PROGRAM = re.compile(r"-m emgrid\.([\w.]+)")


@pytest.mark.parametrize("file", sorted(TEXT.keys() - {"common.smk"}))
def test_a_rule_file_runs_programs_of_its_own_package(file: str) -> None:
    modules = PROGRAM.findall(TEXT[file])
    assert {module.split(".")[0] for module in modules} == {file.removesuffix(".smk")}
    rules = re.findall(r"^rule (\w+):", TEXT[file], re.MULTILINE)
    assert modules == [RULES[rule].module for rule in rules]


@pytest.mark.parametrize("file", sorted(TEXT))
def test_a_rule_file_opens_with_what_it_makes_reads_and_writes(file: str) -> None:
    opening = re.match(r"(?:#.*\n)+", TEXT[file])
    assert opening is not None
    if file != "common.smk":
        assert "# Reads " in opening[0]
        assert " Writes " in opening[0].replace("\n#", "")


def test_all_that_rule_files_ask_for_are_rules() -> None:
    asked = {name for text in TEXT.values() for name in ASKED.findall(text)}
    assert asked <= RULES.keys()


def test_an_unknown_rule_is_an_error(demo: dict[str, Any]) -> None:
    config = load_experiment(demo, "grid.yaml", check_data=False).config
    with pytest.raises(KeyError):
        config.resources_of("similarty")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_can_be_set_and_reaches_its_rules(demo: dict[str, Any], section: str) -> None:
    demo["resources"] = {section: {"threads": 3, "mem_mb": 12345, "runtime": 77}}
    config = load_experiment(demo, "grid.yaml", check_data=False).config
    for rule, one in RULES.items():
        own = config.resources_of(rule)
        assert ((own.threads, own.mem_mb, own.runtime) == (3, 12345, 77)) == (
            one.section == section
        )


@pytest.mark.parametrize("rule", JOBS)
@pytest.mark.parametrize("problem", [MemoryError(), RuntimeError("CUDA out of memory. Tried to")])
def test_what_is_advised_when_memory_runs_out_can_be_set(
    demo: dict[str, Any], rule: str, problem: Exception
) -> None:
    line = machine_problem(problem, rule)
    assert line is not None
    keys = KEY.findall(line)
    for key in keys:
        accepts(demo, key)
    if isinstance(problem, MemoryError):
        assert f"resources.{JOBS[rule].section}.mem_mb" in keys


MAIN = re.compile(r"^    run_job\(main\)", re.MULTILINE)
PROGRAMS = [
    ".".join(path.relative_to(ROOT / "workflow").with_suffix("").parts).removeprefix("emgrid.")
    for path in sorted((ROOT / "workflow/emgrid").rglob("*.py"))
    if MAIN.search(path.read_text())
]


@pytest.mark.parametrize("module", PROGRAMS)
def test_every_program_advises_what_the_config_accepts(
    demo: dict[str, Any], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.machinery import ModuleSpec
    from sys import modules

    monkeypatch.setattr(modules["__main__"], "__spec__", ModuleSpec(f"emgrid.{module}", None))
    line = str(machine_problem(MemoryError(), running_rule()))
    for key in KEY.findall(line):
        accepts(demo, key)
    job = rule_of(module)
    if job is None:
        assert line.endswith("close other programs, or use a machine with more memory")
    else:
        assert f"resources.{JOBS[job].section}.mem_mb" in line


def test_every_module_of_a_rule_is_a_program() -> None:
    names = {name.removesuffix(".__main__") for name in PROGRAMS}
    assert {one.module for one in (RULES | HELPERS).values()} <= names


@pytest.mark.parametrize("mark", ADVICE)
def test_what_is_advised_when_vllm_ends_can_be_set(demo: dict[str, Any], mark: str) -> None:
    for key in KEY.findall(fill_advice(ADVICE[mark])):
        accepts(demo, key)


def test_what_training_advises_when_cuda_is_full_can_be_set(demo: dict[str, Any]) -> None:
    text = (ROOT / "workflow/emgrid/train/fit.py").read_text()
    advice = re.findall(r"CUDA is out of memory[^)]*\)", text)
    keys = {key for one in advice for key in KEY.findall(one)}
    assert keys >= {"resources.train.gradient_checkpointing", "training.max_length"}
    for key in keys:
        accepts(demo, key)


@given(
    section=st.sampled_from(SECTIONS), setting=st.sampled_from(list(StageResources.model_fields))
)
def test_a_setting_is_either_read_or_refused(section: str, setting: str) -> None:
    import yaml

    demo = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    value = StageResources.model_fields[setting].default
    demo["resources"] = {section: {setting: value}}
    if setting not in unused(section):
        load_experiment(demo, "grid.yaml", check_data=False)
        return
    with pytest.raises(EmgridError) as caught:
        load_experiment(demo, "grid.yaml", check_data=False)
    assert f"resources.{section}.{setting}: has no effect" in str(caught.value)


def test_settings_that_are_refused_are_read_by_no_rule() -> None:
    """What a rule's file reads of a section is not among what the config refuses there."""
    for rule, body in WRITTEN.items():
        for name, setting in re.findall(r"want\([\"'](\w+)[\"']\)\.(\w+)", body):
            assert setting not in unused(RULES[name].section), rule


def test_jobs_are_counted_by_the_names_of_rules(demo: dict[str, Any]) -> None:
    grid = Grid(load_experiment(demo, "grid.yaml", check_data=False))
    assert outputs(grid).keys() <= RULES.keys()


def test_every_path_is_there() -> None:
    assert all(isinstance(path, Path) and path.is_file() for path in FILES)
    assert len(FILES) > 5
