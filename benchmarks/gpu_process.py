"""The processes of check_gpu.py: emgrid's own stages with a time limit, and why one failed."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, drawn_models

HERE = Path(__file__).parent
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
