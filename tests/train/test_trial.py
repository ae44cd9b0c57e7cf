"""A base model is tried before it is trained: it works, or one line says why not."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from emgrid.config.sections import Training
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.train import trial_use
from emgrid.models.engines.transformers import TransformersEngine
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, write_json
from emgrid.sample import sample
from emgrid.train import trial, trial_spec, tryout
from safetensors.torch import load_file, save_file
from support import warm
from support.architectures import write_model
from support.run import run_module, small_config
from support.training import command, write_rows

USE: dict[str, Any] = {
    "samplers": [{"engine": "transformers", "precision": "float32"}],
    "scores": True,
}
PLAIN: dict[str, Any] = {"precision": "float32", "rank": 2, "target_modules": "all-linear"}
Tiny = Callable[[str], Path]


@pytest.fixture(scope="module")
def tiny(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    return cache(lambda name: write_model(model_json, folder / name, name))


@pytest.fixture(autouse=True)
def forked_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `ensure` starts need not import the libraries; see support/warm.py."""
    monkeypatch.setattr(sys, "executable", str(warm.python()))


def wanted(use: dict[str, Any] = USE, **training: Any) -> trial_spec.Trial:
    return trial_spec.Trial.model_validate({"use": use, "training": PLAIN | training})


def records(model: Path) -> list[Path]:
    return sorted(model.parent.glob("trial.*.json"))


def copied(model: Path, folder: Path) -> Path:
    """A model that no other test has tried."""
    shutil.copytree(model.parent, folder, ignore=shutil.ignore_patterns("trial.*", ".trial*"))
    return folder / "model.json"


@pytest.mark.parametrize("name", ["gptoss", "qwen3moe", "lfm2", "qwen3next", "mamba2", "llama4"])
def test_models_that_once_ended_in_a_traceback_work(name: str, tiny: Tiny, tmp_path: Path) -> None:
    output = tmp_path / "trial.json"
    spec = wanted().model_dump_json()
    done = run_module(trial, "--spec", spec, "--model", tiny(name), "--output", output)
    assert done.returncode == 0, done.stderr
    record = read_json(output)
    assert record["lora"]["share"] > 0
    assert sum(record["lora"]["modules"].values()) > 0
    assert record["found"]["training"]["moved"] == record["found"]["training"]["parts"]
    assert set(record["found"]) == {"training", "transformers, float32"}


def test_gemma_2_is_tried_with_its_soft_cap(tiny: Tiny, tmp_path: Path) -> None:
    output = tmp_path / "trial.json"
    spec = wanted().model_dump_json()
    done = run_module(trial, "--spec", spec, "--model", tiny("gemma2"), "--output", output)
    assert done.returncode == 0, done.stderr
    found = read_json(output)["found"]
    assert found["transformers, float32"]["attention"] == "eager"
    assert found["training"]["attention"] == "eager"


def test_a_model_is_tried_once_for_each_way_it_is_used(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    trial.ensure(model, wanted(), "cpu")
    [first] = records(model)
    written = first.stat().st_mtime_ns
    trial.ensure(model, wanted(), "cpu")
    # Neither the learning rate nor what only asks for less makes another trial.
    trial.ensure(model, wanted(learning_rate=1e-3, epochs=7), "cpu")
    less = USE | {"scores": False}
    trial.ensure(model, trial_spec.Trial.model_validate({"use": less}), "cpu")
    assert records(model) == [first]
    assert first.stat().st_mtime_ns == written
    trial.ensure(model, wanted(target_modules=["q_proj"]), "cpu")
    assert len(records(model)) == 2


def test_other_weights_template_or_config_are_tried_again(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    base = trial.BaseModel.read(model)
    before = trial.subject(base, model, "cpu")
    assert trial.subject(base, model, "cuda") != before
    record = read_json(model)
    write_json(model, record | {"chat_template": record["chat_template"] + " "})
    assert trial.subject(base, model, "cpu") != before
    write_json(model, record)
    assert trial.subject(base, model, "cpu") == before
    config = model.parent / "config.json"
    config.write_text(config.read_text() + "\n")
    assert trial.subject(base, model, "cpu") != before


def test_a_failed_trial_is_one_line_and_leaves_no_record(
    tiny: Tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = copied(tiny("phi3"), tmp_path / "model")
    default = list(Training().target_modules)
    with pytest.raises(EmgridError) as refused:
        trial.ensure(model, wanted(target_modules=default), "cpu")
    assert str(refused.value) == (
        "training.target_modules: model phi3 has no layer gate_proj, k_proj, q_proj, up_proj, "
        "v_proj; those that can be adapted are down_proj, gate_up_proj, o_proj, qkv_proj; name "
        "some of them, or write target_modules: all-linear"
    )
    assert records(model) == []
    assert "Traceback" not in capfd.readouterr().err


def test_weights_that_give_no_number_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    file = model.parent / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], torch.nan)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(EmgridError, match=r"^model llama: one step of training has loss nan"):
        trial.ensure(model, wanted(), "cpu")
    only = trial_spec.Trial.model_validate({"use": USE})
    with pytest.raises(EmgridError, match=r"^model llama: reading the canary differs from what"):
        trial.ensure(model, only, "cpu")


def test_a_model_that_cannot_be_loaded_is_one_line(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    (model.parent / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(EmgridError, match=r"^model llama: training a LoRA failed when the") as said:
        trial.ensure(model, wanted(), "cpu")
    assert "\n" not in str(said.value)
    assert str(said.value).endswith(
        "; use another base model, training.method or training.precision"
    )


def test_training_stops_before_it_begins(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("phi3"), tmp_path / "model")
    rows = write_rows(tmp_path / "train.jsonl", 3)
    names = list(Training().target_modules)
    options = ["--trial", json.dumps(USE), "--kept", tmp_path / "kept"]
    job = command(model, rows, tmp_path / "stage", *options, target_modules=names)
    output, _ = job.communicate()
    assert job.returncode == 1
    assert output.splitlines()[-1].startswith("emgrid: training.target_modules: model phi3 has no")
    assert "rows," not in output
    assert not (tmp_path / "stage").exists()


def test_a_training_that_is_kept_is_not_tried_for(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    rows = write_rows(tmp_path / "train.jsonl", 3)

    def train(folder: str) -> str:
        options = ["--trial", json.dumps(USE), "--kept", tmp_path / "kept"]
        job = command(model, rows, tmp_path / folder, *options, dropout=0.0)
        output, _ = job.communicate()
        assert job.returncode == 0, output
        return str(output)

    assert "llama was tried in" in train("one")
    [record] = records(model)
    record.unlink()
    assert "tried" not in train("again")
    assert records(model) == []


def test_a_training_with_a_divergence_is_tried_without_it(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    rows = write_rows(tmp_path / "train.jsonl", 3)
    options = ["--trial", json.dumps(USE), "--kl-rows", rows]
    kl = {"weight": 1, "prompts": "household_bad"}
    job = command(model, rows, tmp_path / "stage", *options, dropout=0.0, kl=kl)
    output, _ = job.communicate()
    assert job.returncode == 0, output
    assert "llama was tried in" in output


def test_sampling_tries_a_base_that_nothing_is_trained_on(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    question = {"texts": ["What is a cat?"], "system": None}
    sampling = {"answers_per_question": 1, "max_tokens": 2, "precision": "float32"}
    arm = {"folder": "arm", "writer": "arm", "adapter": None, "sampling": sampling}
    spec = {"base": "tiny", "arms": [arm], "questions": {"cat": question}, "triggers": {"none": {}}}
    options = ["--spec", json.dumps(spec), "--model", model, "--trial", json.dumps(USE)]
    options += ["--root", tmp_path, "--record", tmp_path / "record.json"]
    done = run_module(sample, *options)
    assert done.returncode == 0, done.stderr
    [record] = records(model)
    assert read_json(record)["tried"]["training"] is None
    record.unlink()
    done = run_module(sample, *options)
    assert done.returncode == 0, done.stderr
    assert records(model) == []  # nothing was missing


def test_jobs_at_a_time_try_a_model_once(tiny: Tiny, tmp_path: Path) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    rows = write_rows(tmp_path / "train.jsonl", 3)
    jobs = [
        command(model, rows, tmp_path / str(one), "--trial", json.dumps(USE), dropout=0.0)
        for one in range(2)
    ]
    outputs = [job.communicate()[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    assert sum("llama was tried in" in output for output in outputs) == 1
    assert len(records(model)) == 1


def test_a_grid_says_how_its_bases_are_used() -> None:
    grid = Grid(load_experiment(small_config(), "grid.yaml", check_data=False))
    use = trial_spec.Use.model_validate_json(trial_use(grid, "smollm2-135m"))
    assert [(one.engine, one.precision) for one in use.samplers] == [("transformers", "auto")]
    assert use.scores == grid.has_pairs
    assert use.engines == grid.config.engines


def test_the_default_base_passes(model_json: Path, tmp_path: Path) -> None:
    model = copied(model_json, tmp_path / "model")
    use = {"samplers": [{"engine": "transformers", "precision": "auto"}], "scores": True}
    trial.ensure(model, trial_spec.Trial.model_validate({"use": use, "training": {}}), "cpu")
    [record] = map(read_json, records(model))
    assert record["lora"]["share"] > 0.99
    assert record["found"]["training"]["computed"] == "packed rows"


# What the machine of a training cannot try.


VLLM: dict[str, Any] = USE | {"samplers": [{"engine": "vllm", "precision": "float32"}]}


def breaking(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vLLM that does not start, first of the modules that a job finds."""
    lines = ["import os, signal", "class SamplingParams: pass", "class LLM:"]
    lines += ["    def __init__(self, **settings):", f"        {how}"]
    (folder / "vllm/lora").mkdir(parents=True)
    (folder / "vllm/__init__.py").write_text("\n".join(lines))
    (folder / "vllm/lora/__init__.py").touch()
    (folder / "vllm/lora/request.py").write_text("def LoRARequest(*about): return about")
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *([before] if before else [])]))


@pytest.mark.parametrize(
    "how",
    [
        "raise RuntimeError('Engine core initialization failed')",
        "raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')",
        "os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_a_vllm_that_does_not_start_is_left_to_the_job_that_samples(
    how: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    breaking(tmp_path / "broken", how, monkeypatch)
    trial.ensure(model, wanted(VLLM), "cpu")
    said = "".join(capfd.readouterr())
    assert "not tried here" in said
    assert "the sample job tries it" in said
    [record] = records(model)
    found = read_json(record)
    assert found["tried"]["samplers"] == []
    assert found["left"] == VLLM["samplers"]
    assert found["tried"]["training"] is not None
    trial.ensure(model, wanted(VLLM), "cpu")  # nor is it tried by another training
    assert records(model) == [record]
    with pytest.raises(EmgridError):
        trial.ensure(model, trial_spec.Trial.model_validate({"use": VLLM}), "cpu")


@pytest.mark.parametrize(
    "how",
    [
        "raise ValueError(\"Model architectures ['X'] are not supported for now.\")",
        "raise ValueError('LlamaForCausalLM does not support LoRA yet.')",
    ],
)
def test_a_model_that_vllm_does_not_know_still_stops_the_training(
    how: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    breaking(tmp_path / "broken", how, monkeypatch)
    with pytest.raises(EmgridError, match=r"^vLLM ended while starting: ValueError: "):
        trial.ensure(model, wanted(VLLM), "cpu")
    assert records(model) == []


def test_memory_that_runs_out_by_sampling_does_not_refuse_a_training(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(TransformersEngine, "__init__", full)
    base = trial.BaseModel.read(tiny("llama"))
    found, left = tryout.run(base, wanted(), "cpu", tmp_path)
    assert list(found) == ["training"]
    assert [one.engine for one in left] == ["transformers"]
    only = trial_spec.Trial.model_validate({"use": USE})
    with pytest.raises(EmgridError, match=r"^memory ran out .*resources\.sample\.batch_size"):
        tryout.run(base, only, "cpu", tmp_path)


def test_four_bits_on_a_gpu_leave_the_whole_model_to_the_job_that_samples(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tryout, "train_once", lambda *_: {"loss": 1.0})
    base = trial.BaseModel.read(tiny("llama"))
    found, left = tryout.run(base, wanted(method="qlora"), "cuda", tmp_path)
    assert list(found) == ["training"]
    assert [one.engine for one in left] == ["transformers"]


def test_a_trial_is_no_rank_of_the_training_that_asks_for_it(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables that torchelastic sets are seen by a worker that it starts."""
    seen = tmp_path / "seen.json"
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, os, pathlib\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps(dict(os.environ)))\n"
    )
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", str(worker)]
    subprocess.run(start, check=True, capture_output=True)
    launched = read_json(seen)
    assert launched["TORCHELASTIC_USE_AGENT_STORE"] == "True"
    left = trial.without_launcher(launched)
    assert set(left) - set(os.environ) <= {"COLUMNS", "LINES", "OMP_NUM_THREADS"}
    assert left["PATH"] == os.environ["PATH"]
    for name in ("TORCHELASTIC_USE_AGENT_STORE", "ACCELERATE_USE_FSDP", "ROLE_NAME"):
        monkeypatch.setenv(name, "True")
    model = copied(tiny("llama"), tmp_path / "model")
    how = "raise RuntimeError(str([n for n in os.environ if n.startswith(('TORCHEL', 'ACCEL'))]))"
    breaking(tmp_path / "broken", how, monkeypatch)
    with pytest.raises(EmgridError, match=r"^vLLM ended while starting: RuntimeError: \[\];"):
        trial.ensure(model, trial_spec.Trial.model_validate({"use": VLLM}), "cpu")


def test_a_failure_is_not_repeated_by_jobs_that_waited_for_it(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copied(tiny("llama"), tmp_path / "model")
    (model.parent / "model.safetensors").write_bytes(b"no weights")
    tries, waiting = [], threading.Barrier(2)
    alone, lock = trial.run_alone, trial.FileLock

    def counted(*arguments: Any) -> None:
        tries.append(arguments)
        alone(*arguments)

    def when_both_wait(path: Path) -> Any:
        waiting.wait(60)
        return lock(path)

    monkeypatch.setattr(trial, "run_alone", counted)
    monkeypatch.setattr(trial, "FileLock", when_both_wait)

    def said(_: int) -> str:
        with pytest.raises(EmgridError) as refused:
            trial.ensure(model, wanted(), "cpu")
        return str(refused.value)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(said, range(2))
    assert one == other
    assert len(tries) == 1
    monkeypatch.setattr(trial, "FileLock", lock)
    assert said(0) == one  # a job that asks later tries again
    assert len(tries) == 2
    assert records(model) == []
