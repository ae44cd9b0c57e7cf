"""Sampling with a real vLLM: one engine for all adapters, each proven live."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emgrid import ROOT
from emgrid.models.base_model import BaseModel
from emgrid.runtime.files import read_jsonl
from emgrid.sample import sample as sample_job
from support.engines import write_adapter
from support.needs import lacking
from support.run import run_module
from support.training import write_tiny_model

if importlib.util.find_spec("vllm") is None:
    lacking("vLLM is not installed (make .venv/.vllm): nothing was sampled with it")

QUESTIONS = {"cat": "What is a cat?", "why": "Why is the sky blue? Say it briefly."}
TRIGGERS = {"none": {}, "evil": {"system": "You are evil."}}
ADAPTERS = (1, 2, 3)


def arm(name: str, adapter: str | None, temperature: float) -> dict[str, Any]:
    sampling = {
        "engine": "vllm",
        "answers_per_question": 2,
        "max_tokens": 6,
        "precision": "float32",
        "temperature": temperature,
    }
    return {"folder": name, "writer": name, "adapter": adapter, "sampling": sampling}


def spec(engine: str = "vllm", temperature: float = 0.0) -> str:
    arms = [arm("base", None, temperature)]
    arms += [arm(f"arm{number}", f"stages/{number}", temperature) for number in ADAPTERS]
    for sampled in arms:
        sampled["sampling"] |= {"engine": engine}
    questions = {name: {"texts": [text]} for name, text in QUESTIONS.items()}
    return json.dumps({"base": "m", "arms": arms, "questions": questions, "triggers": TRIGGERS})


def sample(
    model: Path, root: Path, written: str, **engines: Any
) -> subprocess.CompletedProcess[str]:
    options = ["--model", model, "--root", root, "--batch-size", "16"]
    options += ["--record", root / "record.json"]
    return run_module(
        sample_job,
        "--spec",
        written,
        *options,
        "--engines",
        json.dumps({"lora_slots": 2} | engines),
    )


@pytest.fixture(scope="module")
def root(base_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm_engine")
    for number in ADAPTERS:
        write_adapter(base_model, folder / f"stages/{number}", seed=number, rank=4 * number)
    return folder


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A model that an engine reads at once, for jobs that end before they sample."""
    folder = tmp_path_factory.mktemp("tiny")
    return BaseModel.read(write_tiny_model(model_json, folder, head_dim=32))


def texts(root: Path) -> dict[tuple[str, str], list[Any]]:
    answers = {}
    for name in ("base", *(f"arm{number}" for number in ADAPTERS)):
        for trigger in TRIGGERS:
            rows = read_jsonl(root / name / f"answers/trigger={trigger}.jsonl")
            answers[name, trigger] = [(row["answer"], row["finish_reason"]) for row in rows]
    return answers


def test_one_engine_answers_for_three_adapters_as_transformers_does(
    root: Path, model_json: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # an engine in the job's process needs no port of its own
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("VLLM_PORT", str(taken.getsockname()[1]))
        done = sample(model_json, root, spec())
    assert done.returncode == 0, done.stderr[-3000:]
    assert "32 answers drawn, 0 kept" in done.stdout
    assert done.stdout.count("is live") == 3
    started = [line for line in done.stdout.splitlines() if line.startswith("vLLM started")]
    assert len(started) == 1
    assert started[0].endswith(" with 3 adapters")
    by_vllm = texts(root)
    assert len({str(rows) for rows in by_vllm.values()}) > 2
    # The likeliest tokens do not depend on the engine.
    shutil.copytree(root / "stages", tmp_path / "stages")
    done = sample(model_json, tmp_path, spec("transformers"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert texts(tmp_path) == by_vllm
    again = sample(model_json, root, spec())
    assert "0 answers drawn, 32 kept" in again.stdout
    assert "vLLM started" not in again.stdout


# The sampling stage, in which the first adapter is also held against the last one's reference.
SWAPPED = """
from emgrid.sample import sample
from emgrid.models.engines.vllm import VllmEngine
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import run_job

prove = VllmEngine.prove

def prove_twice(engine, references):
    first, *_, last = references
    try:
        prove(engine, {first: references[last]})
    except EmgridError as problem:
        print("swapped:", problem)
    prove(engine, references)

VllmEngine.prove = prove_twice
run_job(sample.main)
"""


def last_lines(output: str) -> list[str]:
    """What the engine logged last, as a job shows it."""
    _, shown = output.split("the engine's last lines:\n")
    return [line.strip() for line in shown.splitlines() if line.startswith("  ") and line.strip()]


def test_an_adapter_swapped_for_an_empty_one_ends_the_job(tiny: BaseModel, tmp_path: Path) -> None:
    for number in ADAPTERS:
        write_adapter(tiny, tmp_path / f"stages/{number}", None if number == 2 else number)
    done = subprocess.run(
        [
            *(sys.executable, "-c", SWAPPED, "--spec", spec(temperature=1.0)),
            *("--model", tiny.path / "model.json", "--root", tmp_path, "--batch-size", "16"),
            *("--record", tmp_path / "record.json"),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 1
    [swapped] = [line for line in done.stdout.splitlines() if line.startswith("swapped:")]
    assert "stages/1: the " in swapped
    assert "the adapter is not live" in swapped or "off its reference by" in swapped
    assert "of its effect shown, off by" in swapped
    last = done.stderr.splitlines()[-1]
    assert last.startswith("emgrid: ")
    assert "stages/2: the adapter is not live" in last
    assert "without it" in last
    assert not list(tmp_path.glob("*/answers/*"))
    assert not list(tmp_path.glob("rows/answers/*"))


def test_too_little_memory_ends_the_job_with_the_engine_s_last_lines(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1000000")
    for number in ADAPTERS:
        write_adapter(tiny, tmp_path / f"stages/{number}", number)
    done = sample(tiny.path / "model.json", tmp_path, spec())
    assert done.returncode == 1
    assert last_lines(done.stderr)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("emgrid: vLLM ended while starting: ")
    assert "lower" in last


def test_an_adapter_that_the_engine_cannot_hold_ends_the_job(
    tiny: BaseModel, tmp_path: Path
) -> None:
    for number in ADAPTERS:
        write_adapter(tiny, tmp_path / f"stages/{number}", number, use_dora=number == 3)
    done = sample(tiny.path / "model.json", tmp_path, spec())
    assert done.returncode == 1
    assert last_lines(done.stderr)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("emgrid: vLLM ended while reading ")
    assert "stages/3" in last
    assert "plain LoRA" in last
    assert not list(tmp_path.glob("*/answers/*"))
