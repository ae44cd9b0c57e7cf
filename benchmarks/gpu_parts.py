"""The parts of check_gpu.py: each runs emgrid's own stages in processes with a time limit.

A part returns rows of the table, or raises NotRun with the reason in one line. It knows nothing of
the other parts, but for the training whose end the killed one is compared with.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import ROOT, drawn_models
from gpu_model import ADAPTERS, adapter

HERE = Path(__file__).parent
Row = dict[str, Any]
LOOK = 0.005  # seconds between two looks at the checkpoints
ROUNDED = 0.1  # seconds to which a job says how long its model computed
# By the model's shape: rows of training and how many conversations one has at most, their longest,
# rows a step; wordings of the question and answers to each; tokens of an answer; judged answers.
SIZES = {
    "toy": {
        "rows": 48, "join": 1, "max_length": 128, "batch_size": 4, "questions": 2,
        "answers": 2, "tokens": 8, "slots": 4, "judged": 4,
    },
    "7b": {
        "rows": 128, "join": 12, "max_length": 2048, "batch_size": 8, "questions": 8,
        "answers": 16, "tokens": 64, "slots": 64, "judged": 64,
    },
}  # fmt: skip


class NotRun(Exception):
    """Why a part has no figures, in one line. failed: it was tried."""

    def __init__(self, reason: str, failed: bool = True) -> None:
        super().__init__(reason)
        self.failed = failed


@dataclass(frozen=True)
class Done:
    """A process that has ended well. computing: seconds in which a model computed; peak: MiB."""

    told: str
    computing: float
    peak: float


@dataclass
class Check:
    """folder: for what the parts write. until: when the time of the part in hand is up, on the
    monotonic clock."""

    options: argparse.Namespace
    folder: Path
    until: float = 0.0

    @property
    def model(self) -> Path:
        return drawn_models() / self.options.model_shape / "model.json"

    @property
    def size(self) -> dict[str, int]:
        return SIZES[self.options.model_shape]

    def begin(self, *words: object) -> subprocess.Popen[str]:
        """Start Python in a process group of its own, with the package on its path."""
        places = [str(ROOT / "workflow"), str(HERE), os.environ.get("PYTHONPATH", "")]
        # No job asks a hub for anything, and none outlives this process.
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        environment = os.environ | offline | {"PYTHONPATH": os.pathsep.join(places)}
        environment["EMGRID_MAIN_PROCESS"] = str(os.getpid())
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str]) -> str:
        """What a process has printed, once it has ended well; NotRun otherwise."""
        try:
            told, complaint = process.communicate(timeout=max(self.until - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise NotRun("was stopped, as its time was up; see `--minutes`") from None
        if process.returncode:
            raise NotRun(reason_of(complaint) or f"ended with status {process.returncode}")
        return told

    def stage(self, module: str, *words: object) -> Done:
        """Run a stage to its end."""
        told = self.end(self.begin(*self.staged(module, *words)))
        computing = re.search(r"model compute: ([\d.]+) s", told)
        peak = json.loads((self.folder / "peak.json").read_text(encoding="utf-8"))["mib"]
        return Done(told, max(float(computing[1]), ROUNDED) if computing else ROUNDED, peak)

    def staged(self, module: str, *words: object) -> list[object]:
        return ["-m", "peak_memory", self.folder / "peak.json", module, *words]


def reason_of(complaint: str) -> str:
    """The line of a failed process's stderr that says why."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("emgrid: ")]
    return (told or lines or [""])[-1].removeprefix("emgrid: ")


def row(what: str, value: float, unit: str, **further: Any) -> Row:
    return {"what": what, "value": value, "unit": unit, "ratio": None, "of": None, **further}


# Training.


def train_words(check: Check, output: Path, **settings: Any) -> list[object]:
    from training import write_rows

    size, rows = check.size, check.folder / "train.jsonl"
    if not rows.exists():
        write_rows(rows, argparse.Namespace(rows=size["rows"], join=size["join"]))
    training = {"batch_size": size["batch_size"], "max_length": size["max_length"]}
    spec = {"base": check.options.model_shape, "seed": 0, "training": training | settings}
    words: list[object] = ["--spec", json.dumps(spec), "--model", check.model, "--rows", rows]
    return [*words, "--device", check.options.device, "--output", output]


def trained(check: Check, output: Path, what: str, done: Done, counted: bool) -> Row:
    """The row of a training. counted: whether its operations are known, for the utilisation."""
    from training import peak_of, utilisation

    record = json.loads((output / "provenance.json").read_text(encoding="utf-8"))
    tokens, seconds = record["tokens"] * record["epochs"], record["step_seconds"]
    tflops = check.options.peak_tflops or peak_of(check.options.device)
    further: dict[str, Any] = {"peak_memory": done.peak}
    further["note"] = f"{record['computed']}, {record['attention']}"
    if tflops and counted:
        measures = {"tokens": tokens, "parameters": parameters(check.model.parent, output)}
        further["utilisation"] = utilisation(measures, seconds, tflops)
    return row(what, tokens / seconds, "tokens/s", **further)


def parameters(model: Path, output: Path) -> dict[str, int]:
    """The weights that every token is multiplied by: the base model's and the adapter's."""
    return {"frozen": matrices(model), "adapter": matrices(output / "adapter")}


def matrices(folder: Path) -> int:
    """The entries of all matrices in a folder's files, without embeddings and head."""
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (it is no mapping)
                shape = file.get_slice(name).get_shape()
                if len(shape) == 2 and "embed_tokens" not in name and "lm_head" not in name:
                    total += shape[0] * shape[1]
    return total


def training(check: Check) -> list[Row]:
    output = check.folder / "whole"
    done = check.stage("emgrid.train.train", *train_words(check, output))
    return [trained(check, output, "training, LoRA", done, counted=True)]


def qlora(check: Check) -> list[Row]:
    output = check.folder / "qlora"
    words = train_words(check, output, method="qlora")
    done = check.stage("emgrid.train.train", *words)
    return [trained(check, output, "training, QLoRA", done, counted=False)]


def killed(check: Check) -> list[Row]:
    """Kill a training when its first checkpoint is there, and let it go on."""
    output = check.folder / "killed"
    words = [*train_words(check, output), "--checkpoint-minutes", 0]
    first = check.begin(*check.staged("emgrid.train.train", *words))
    while first.poll() is None and not any(output.glob("checkpoints/*/step-*")):
        if time.monotonic() > check.until:
            break
        time.sleep(LOOK)
    if first.poll() is not None or time.monotonic() > check.until:
        check.end(first)
        raise NotRun("the training ended before it could be killed")
    first.kill()
    first.communicate()
    check.stage("emgrid.train.train", *words)
    record = json.loads((output / "provenance.json").read_text(encoding="utf-8"))
    kept, steps = record["resumed_after_step"], len(losses(output))
    if not kept or kept >= steps:
        raise NotRun(f"a training that was killed went on after step {kept} of {steps}")
    note = likeness(check.folder / "whole", output)
    return [row("training, killed and resumed", kept, f"steps kept of {steps}", note=note)]


def losses(output: Path) -> list[float]:
    with (output / "loss.csv").open(encoding="utf-8") as file:
        return [float(line["loss"]) for line in csv.DictReader(file)]


def likeness(whole: Path, resumed: Path) -> str:
    """How like the training that was killed is to the one that was not."""
    name = "adapter/adapter_model.safetensors"
    if not (whole / name).exists():
        return "no training without a kill to compare with"
    if (whole / name).read_bytes() == (resumed / name).read_bytes():
        return "the adapter of the training without a kill, bit by bit"
    off = max(abs(a - b) for a, b in zip(losses(whole), losses(resumed), strict=True))
    return f"losses differ from those without a kill by at most {off:.2g}"


# Sampling.


def sampling(check: Check) -> list[Row]:
    return sampled(check, "transformers")


def vllm(check: Check) -> list[Row]:
    return sampled(check, "vllm")


def sampled(check: Check, engine: str) -> list[Row]:
    """Answers of three adapters by one job, each checked by the canary."""
    from emgrid.runtime import layout
    from emgrid.runtime.files import read_jsonl
    from sampling import prompts

    root, size = check.folder / engine, check.size
    root.mkdir()
    settings = {"engine": engine, "answers_per_question": size["answers"]}
    settings["max_tokens"] = size["tokens"]
    arms = [
        {"folder": name, "writer": name, "adapter": str(adapter(check.model, number))}
        | {"sampling": settings}
        for number, name in enumerate(f"arm{number}" for number in range(ADAPTERS))
    ]
    asked = {
        str(number): {"texts": [messages[0]["content"]]}
        for number, messages in prompts(size["questions"])
    }
    spec = {"base": check.options.model_shape, "arms": arms, "questions": asked}
    words = ["--spec", json.dumps(spec | {"triggers": {"none": {}}}), "--model", check.model]
    words += ["--device", check.options.device, "--batch-size", size["slots"], "--root", root]
    done = check.stage("emgrid.sample.sample", *words, "--record", root / "record.json")
    drawn = [row for arm in arms for row in read_jsonl(root / layout.stored_answers(arm["writer"]))]
    tokens = sum(answer["answer_tokens"] for answer in drawn)
    live = len(re.findall(r" is live: ", done.told))
    if live != ADAPTERS:
        raise NotRun(f"the canary found {live} of {ADAPTERS} adapters live")
    further: dict[str, Any] = {"note": f"{len(drawn)} answers; the canary found all adapters live"}
    if engine == "transformers":  # vLLM holds its share of the memory, in another process
        further["peak_memory"] = done.peak
    what = f"sampling, {engine}, {ADAPTERS} adapters"
    return [row(what, tokens / done.computing, "tokens/s", **further)]


# Judging.


def judging(check: Check) -> list[Row]:
    """Exact scores over the tree of replies; on a GPU, also whether they are those of the CPU."""
    options = check.options
    values, done = judged(check, options.model_shape, options.device, "auto")
    further: dict[str, Any] = {"peak_memory": done.peak}
    if options.device != "cpu":
        on_both = [judged(check, "toy", place, "float32")[0] for place in (options.device, "cpu")]
        further["note"] = agreement(*on_both)
    return [row("judging, tree of replies", len(values) / done.computing, "answers/s", **further)]


def agreement(here: list[float], there: list[float]) -> str:
    """NotRun if two devices' values (0 to 100) of the same answers differ by a point or more."""
    off = max(abs(a - b) for a, b in zip(here, there, strict=True))
    if off >= 1:
        raise NotRun(f"a toy judge's values differ from the CPU's by {off:.2g} points of 100")
    return f"a toy judge's values differ from the CPU's by at most {off:.1g} points of 100"


def judged(check: Check, shape: str, device: str, precision: str) -> tuple[list[float], Done]:
    """The values that a model of random weights gives to answers of the embedded data."""
    from emgrid.runtime import layout
    from emgrid.runtime.files import read_jsonl, write_jsonl
    from judging import texts
    from judging_way import local_judge

    root, name = check.folder / f"judge.{shape}.{device}", layout.trigger_file("none")
    # Of random weights hardly any probability lies on numbers; their order is judged all the same.
    changed = {"model": shape, "precision": precision, "least_mass": 0.0}
    judge = local_judge().model_copy(update=changed)
    spec = {"arms": ["arm"], "judges": [judge.model_dump(mode="json")], "triggers": {"none": {}}}
    spec["questions"] = {"q": {"texts": ["What should I do today?"]}}
    answers = [
        {"key": str(index), "question": "q", "index": index, "answer": text}
        for index, text in enumerate(texts(check.size["judged"]))
    ]
    write_jsonl(root / "arm" / layout.ANSWERS / name, answers)
    words = ["--spec", json.dumps(spec), "--root", root, "--record", root / "record.json"]
    words += ["--kept", root / layout.STORED_JUDGEMENTS, "--writer", "check", "--device", device]
    words += [
        "--models",
        drawn_models() / shape / "model.json",
        "--batch-size",
        check.size["slots"],
    ]
    words += ["--options", json.dumps({"unreadable": None})]
    done = check.stage("emgrid.judge.judge", *words)
    rows = list(read_jsonl(root / "arm" / layout.JUDGEMENTS / name))
    return [float(row["value"]) for row in rows], done


# In this order. The first number is the most minutes that a part may take on a GPU.
PARTS: dict[str, tuple[float, Callable[[Check], list[Row]]]] = {
    "training": (2.0, training),
    "resuming": (2.0, killed),
    "sampling": (1.5, sampling),
    "judging": (1.5, judging),
    "qlora": (1.5, qlora),
    "vllm": (3.0, vllm),
}
# What a part needs beside the package's own dependencies, and how it is had.
PACKAGES = {
    "qlora": ("bitsandbytes", "pip install -e '.[qlora]'"),
    "vllm": ("vllm", "pip install -e '.[vllm]'"),
}
