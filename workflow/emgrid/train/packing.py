"""From planned packs to the model's inputs."""

from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from emgrid.models.architecture import has_chunks
from emgrid.models.chat_template import IGNORED, TokenizedRow
from emgrid.runtime.timing import computing
from emgrid.train.step_plan import Pack, pack, share


def collate(rows: list[TokenizedRow], boundaries: bool) -> dict[str, Any]:
    """Concatenate rows to one sequence of shape (1, n_tokens). boundaries: add the position ids
    that tell attention where rows end."""
    collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=boundaries)
    inputs: dict[str, Any] = collator(
        [{"input_ids": row.input_ids, "labels": row.labels} for row in rows]
    )
    return inputs


@computing()
def keeps_boundaries(model: Any) -> bool:
    """Whether rows in one pack do not influence each other.

    Other tokens in the first row must not change one bit of the second row's logits. A model whose
    attention ignores or rejects the boundaries gets one row at a time. So does one with chunked
    attention, whose chunks are counted from the start of the pack. The model is left in training
    mode: on some CPUs a 4-bit layer that has been used in evaluation mode loses its gradient
    (bitsandbytes 0.50).
    """
    model.train()
    if has_chunks(model.config):
        return False
    first, other, second = (
        TokenizedRow(list(range(start, start + 8)), [IGNORED] * 8) for start in (20, 40, 60)
    )
    scores = []
    for leading in (first, other):
        inputs = collate([leading, second], boundaries=True)
        del inputs["labels"]
        inputs = {
            name: value.to(model.device) if torch.is_tensor(value) else value
            for name, value in inputs.items()
        }
        try:
            with torch.no_grad(), torch.random.fork_rng():
                torch.manual_seed(0)  # equal dropout
                scores.append(model(**inputs, logits_to_keep=8, use_cache=False).logits)
        except TypeError:
            return False
    return bool(torch.equal(*scores))


@dataclass(frozen=True)
class Steps(torch.utils.data.Dataset[dict[str, Any]]):
    """The dataset of one process; each item is its part of an optimizer step.

    An item holds `packs`, the inputs of one forward pass each, and `count`, the trained tokens of
    the whole step over all processes. tokens: the most of a pack; None for one row at a time.
    """

    rows: list[TokenizedRow]
    steps: list[list[int]]
    tokens: int | None
    process: int = 0
    processes: int = 1

    def packs(self, step: list[int], process: int) -> list[Pack]:
        lengths = [len(row.input_ids) for row in self.rows]
        rows = share(step, lengths, process, self.processes)
        return pack(rows, lengths, self.tokens or 0)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, number: int) -> dict[str, Any]:
        step = self.steps[number]
        packed_rows = [
            [self.rows[row] for row in pack_rows] for pack_rows in self.packs(step, self.process)
        ]
        # The last step may have fewer rows than processes, but every process must take part.
        packed_rows = packed_rows or [[untrained(self.rows[step[0]])]]
        inputs = [
            collate(pack_rows, boundaries=self.tokens is not None) for pack_rows in packed_rows
        ]
        return {"packs": inputs, "count": sum(self.rows[row].trained for row in step)}

    def padding_waste(self) -> float:
        """The share of computed token positions, over all processes, that hold no planned token."""
        computed = needed = 0
        for step in self.steps:
            needed += sum(len(self.rows[row].input_ids) for row in step)
            for process in range(self.processes):
                packs = self.packs(step, process) or [step[:1]]
                computed += sum(
                    len(self.rows[row].input_ids) for pack_rows in packs for row in pack_rows
                )
        return 1 - needed / computed


def untrained(row: TokenizedRow) -> TokenizedRow:
    return TokenizedRow(row.input_ids, [IGNORED] * len(row.labels))
