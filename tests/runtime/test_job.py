"""How a job reports what the machine lacks, and which packages it does not import."""

import errno
import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from emgrid import ROOT
from emgrid.runtime.job import machine_problem, running_rule
from emgrid.runtime.row_store import RowStore

SAY = """
import json, sys
from emgrid.runtime.job import UNUSED, leave_out
leave_out(*UNUSED)
import {module}
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained
print(json.dumps([name for name in UNUSED if sys.modules.get(name)]))
"""


@pytest.mark.parametrize(
    ("problem", "stage", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            "sample",
            "resources.sample.batch_si",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "judge", "or use a larger GPU"),
        (MemoryError(), "likelihood", "lower resources.likelihood.batch_size, or raise resources."),
        (MemoryError(), "train", "lower training.max_length, use training.method: qlora, or r"),
        (MemoryError(), "aggregate", "run fewer jobs at once, or raise resources.aggregate.mem_mb"),
        (OSError(errno.ENOSPC, "No space left on device"), "mix", "the disk is full; make room"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "train", "disk is full"),
        (OSError(errno.EROFS, "Read-only", "/results"), "mix", "/results: Read-only file system; "),
    ],
)
def test_what_a_machine_lacks_is_one_line(problem: Exception, stage: str, said: str) -> None:
    line = machine_problem(problem, stage)
    assert line is not None
    assert said in line
    assert "\n" not in line


def test_memory_that_torch_does_not_get_is_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert "raise resources.sample.mem_mb" in str(machine_problem(raised.value, "sample"))


def test_other_problems_are_not_explained_away() -> None:
    assert machine_problem(ValueError("wrong"), "sample") is None
    assert machine_problem(FileNotFoundError(errno.ENOENT, "No such file", "x"), "sample") is None


def test_a_full_disk_is_named_by_the_file_that_was_written(tmp_path: Path) -> None:
    kept = RowStore(tmp_path / "kept.jsonl")
    kept.path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        kept.append([{"key": "a"}])
    assert str(machine_problem(raised.value, "sample")).startswith(f"{kept.path}: the disk is full")


@pytest.mark.parametrize(
    ("module", "rule"),
    [("sample.sample", "sample"), ("judge.judge", "judge"), ("models.prepare", "model")],
)
def test_a_job_knows_whose_resources_it_has(
    module: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModuleSpec(f"emgrid.{module}", None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    assert running_rule() == rule


def test_a_stage_ends_with_the_line_and_without_a_traceback() -> None:
    script = "from emgrid.runtime.job import run_job\ndef main():\n    raise MemoryError\n"
    code = f"{script}run_job(main)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("emgrid: memory ran out (MemoryError)")


def test_a_job_hardly_searches_what_it_imports_for_garbage() -> None:
    """Not when it ends, either: nothing is left to search, though something unfreezes it all."""
    script = """
import atexit, gc
from emgrid.runtime.job import run_job
def main():
    atexit.register(gc.unfreeze)
    import openai, pandas
    print(len(gc.get_objects()))
    atexit.register(lambda: print(len(gc.get_objects())))
atexit.register(lambda: print(len(gc.get_objects()), gc.get_stats()[2]["collections"]))
run_job(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    imported, ended, last, searches = map(int, done.stdout.split())
    assert imported > 50_000
    assert max(ended, last) < 0.1 * imported
    assert searches <= 1


@pytest.mark.parametrize("module", ["emgrid.train.fit", "emgrid.models.engines.transformers"])
def test_packages_without_use_are_not_imported(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
