"""From planned packs to what the model is given."""

from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from emgrid.models.architecture import has_chunks
from emgrid.models.chat_template import IGNORED, TokenizedRow
from emgrid.runtime.timing import computing
from emgrid.train.step_plan import Pack, pack, share


def collate(rows: list[TokenizedRow], boundaries: bool) -> dict[str, Any]:
    """One sequence of shape (1, n_tokens). boundaries: with what tells attention where rows end."""
    together = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=boundaries)
    inputs: dict[str, Any] = together(
        [{"input_ids": row.input_ids, "labels": row.labels} for row in rows]
    )
    return inputs


@computing()
def keeps_boundaries(model: Any) -> bool:
    """Whether rows that are laid one behind the other stay invisible to each other.

    Other tokens in the first row must not move one bit of the second row's scores. A model whose
    attention does not read the boundaries, or does not take them, is given one row at a time; so is
    one whose attention is cut into chunks, as the chunks are counted from the start of the pack.
    The model is left in training mode: on some CPUs a 4-bit layer that has been used in evaluation
    mode has no gradient any more (bitsandbytes 0.50).
    """
    model.train()
    if has_chunks(model.config):
        return False
    first, other, second = (
        TokenizedRow(list(range(start, start + 8)), [IGNORED] * 8) for start in (20, 40, 60)
    )
    scores = []
    for before in (first, other):
        inputs = collate([before, second], boundaries=True)
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
    """What one process computes in each optimizer step.

    An item holds `packs`, the inputs of one pass each, and `count`, the trained tokens of the
    whole step on all processes. tokens: of one pack, None for one row at a time.
    """

    rows: list[TokenizedRow]
    steps: list[list[int]]
    tokens: int | None
    process: int = 0
    processes: int = 1

    def packs(self, step: list[int], process: int) -> list[Pack]:
        lengths = [len(row.input_ids) for row in self.rows]
        own = share(step, lengths, process, self.processes)
        return pack(own, lengths, self.tokens or 0)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, number: int) -> dict[str, Any]:
        step = self.steps[number]
        packs = [[self.rows[row] for row in one] for one in self.packs(step, self.process)]
        # A last step may have fewer rows than there are processes; all must take part in it.
        packs = packs or [[untrained(self.rows[step[0]])]]
        inputs = [collate(one, boundaries=self.tokens is not None) for one in packs]
        return {"packs": inputs, "count": sum(self.rows[row].trained for row in step)}

    def padding_waste(self) -> float:
        """The share of computed token positions, on all processes, that are no token of a row."""
        computed = wanted = 0
        for step in self.steps:
            wanted += sum(len(self.rows[row].input_ids) for row in step)
            for process in range(self.processes):
                packs = self.packs(step, process) or [step[:1]]
                computed += sum(len(self.rows[row].input_ids) for one in packs for row in one)
        return 1 - wanted / computed


def untrained(row: TokenizedRow) -> TokenizedRow:
    return TokenizedRow(row.input_ids, [IGNORED] * len(row.labels))
