"""An engine whose answers follow from what they should depend on: adapter, messages, seed.

What it draws and scores is written to the file that EMGRID_JOURNAL names, a key a line.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emgrid.config.sections import Sampling
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import TokenizedRow
from emgrid.models.engines import Completion, Request
from emgrid.runtime.files import digest, file_digest

BATCH = 4


def journal(*words: str) -> None:
    """Note what was computed; a line is written whole, so that jobs side by side may share it."""
    name = os.environ.get("EMGRID_JOURNAL")
    if name:
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(" ".join(words) + "\n")


def content_of(adapter: Path | None) -> str:
    return file_digest(adapter / "adapter_model.safetensors") if adapter else ""


class Chat:
    def training_row(self, messages: Sequence[Any], turns: str = "all") -> TokenizedRow:  # noqa: ARG002
        words = " ".join(turn["content"] for turn in messages).split()
        return TokenizedRow([len(word) for word in words], [1 for _ in words])


class TransformersEngine:
    def __init__(self, base: BaseModel, precision: str, device: str, batch_size: int) -> None:  # noqa: ARG002
        self.chat = Chat()
        self.adapter: Path | None = None

    def use(self, adapter: Path | None) -> None:
        self.adapter = adapter

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        for start in range(0, len(requests), BATCH):
            yield [self.answer(request, sampling) for request in requests[start : start + BATCH]]

    def answer(self, request: Request, sampling: Sampling) -> Completion:
        journal("answer", request.key)
        said = [content_of(request.adapter), list(request.messages), request.seed]
        text = digest([*said, sampling.temperature])
        return Completion(request.key, f"I say {text}.", None, "stop", 3, 3, -1.0)

    def log_likelihoods(self, rows: Sequence[TokenizedRow]) -> list[float]:
        adapter = content_of(self.adapter)
        values = []
        for row in rows:
            journal("likelihood", digest([adapter, row.input_ids])[:16])
            said = hashlib.sha256(f"{adapter}{row.input_ids}".encode()).digest()
            values.append(-float(said[0]))
        return values
