"""Log-likelihoods of answers that share prompts, and of prompts that share their beginnings."""

from collections.abc import Iterator, Sequence

import torch

from emgrid.models.chat_template import IGNORED, TokenizedRow
from emgrid.models.engines.scoring import Scorer
from emgrid.models.engines.token_tree import Tokens, shared_beginnings
from emgrid.models.engines.tree_reading import Prefix, TreePrompts, read_prefix

MOST = 512  # tokens of answers in one tree; above this, its attention takes longer than its prompt
Answer = tuple[
    int, list[int], list[int]
]  # the row's index, tokens and labels from the first one on


def log_likelihoods(scorer: Scorer, rows: Sequence[TokenizedRow]) -> list[float]:
    """Natural-log probability of each row's trained tokens given the tokens before them.

    Equal prompts are read once with all their answers behind them, and so is what the prompts of a
    group begin with. The model must fit kv_cache.fits_slots.
    """
    answers: dict[Tokens, list[Answer]] = {}
    for index, row in enumerate(rows):
        trained = [place for place, label in enumerate(row.labels) if label != IGNORED]
        begin, end = trained[0], trained[-1] + 1
        answer = (index, row.input_ids[begin:end], row.labels[begin:end])
        answers.setdefault(tuple(row.input_ids[:begin]), []).append(answer)
    values: dict[int, float] = {}
    for length, prompts in shared_beginnings(list(answers)):
        prefix = read_prefix(scorer.model, prompts[0][:length])
        trees = [(prompt, part) for prompt in prompts for part in parts(answers[prompt])]
        for batch in batches(trees, scorer.batch_size):
            values |= score(scorer, batch, prefix)
    return [values[index] for index in range(len(rows))]


def parts(answers: list[Answer]) -> Iterator[list[Answer]]:
    """Divide the answers to a prompt into trees of at most MOST tokens, or of one answer."""
    part: list[Answer] = []
    for answer in answers:
        if part and sum(len(tokens) for _, tokens, _ in [*part, answer]) > MOST:
            yield part
            part = []
        part.append(answer)
    yield part


def batches(
    trees: list[tuple[Tokens, list[Answer]]], size: int
) -> Iterator[list[tuple[Tokens, list[Answer]]]]:
    """Trees of similar size together, with at most `size` answers, or one tree."""
    batch: list[tuple[Tokens, list[Answer]]] = []
    ordered = sorted(trees, key=lambda tree: sum(len(tokens) for _, tokens, _ in tree[1]))
    for tree in ordered:
        if batch and sum(len(answers) for _, answers in [*batch, tree]) > size:
            yield batch
            batch = []
        batch.append(tree)
    yield batch


@torch.inference_mode()
def score(
    scorer: Scorer, batch: Sequence[tuple[Tokens, list[Answer]]], prefix: Prefix
) -> dict[int, float]:
    """The log-probability of each answer, by the index of its row."""
    read = TreePrompts(scorer.model, scorer.pad, [prompt for prompt, _ in batch], prefix)
    paths = [
        [read.trees[place].add(tokens[:-1]) for _, tokens, _ in answers]
        for place, (_, answers) in enumerate(batch)
    ]
    logits = read.logits()
    values = {}
    for place, (_, answers) in enumerate(batch):
        states = logits[place, : len(read.trees[place])].float()
        totals = states.logsumexp(dim=-1)
        for (index, _, labels), nodes in zip(answers, paths[place], strict=True):
            trained = [step for step, label in enumerate(labels) if label != IGNORED]
            steps = torch.tensor([nodes[step] for step in trained], device=states.device)
            wanted = torch.tensor([labels[step] for step in trained], device=states.device)
            logprobs = states[steps, wanted] - totals[steps]
            values[index] = float(logprobs.double().sum())
    return values
