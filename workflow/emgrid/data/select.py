"""Choose the rows of a data set that a misaligned model finds unlikely.

Reads chat rows, the base model and the adapter of the misaligned one. Writes the chosen rows,
largest gap first: each with `gap`, the mean log-probability per trained token (nats) under the base
model less that under the misaligned one, which is the logarithm of the ratio of their perplexities.
Scores are stored, so that a killed job goes on.
"""

import argparse
from pathlib import Path
from typing import Any, Literal

from emgrid.config.base import Strict
from emgrid.config.sections import Precision
from emgrid.data.mix import draw
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.models.chat_template import ChatFormat, TokenizedRow
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import canonical, digest, file_digest, read_jsonl, write_jsonl
from emgrid.runtime.job import UNUSED, leave_out, run_job
from emgrid.runtime.json_objects import Row
from emgrid.runtime.locks import take_turn
from emgrid.runtime.row_store import RowStore
from emgrid.runtime.timing import computing

# Raise this when an equal spec chooses other rows.
VERSION = 1
STORED_AT_ONCE = 256  # rows


class SelectSpec(Strict):
    """rows: the number that is chosen. candidates: the number that is scored, None for all.
    max_length, turns: of the misaligned model's training."""

    dataset: str
    rows: int
    candidates: int | None
    seed: int
    precision: Precision
    max_length: int
    turns: Literal["all", "final"]


def candidates_of(spec: SelectSpec, rows: list[Row]) -> list[Row]:
    """The rows that are scored. EmgridError if they are too few to choose from."""
    wanted = len(rows) if spec.candidates is None else spec.candidates
    if not spec.rows <= wanted <= len(rows):
        raise EmgridError(
            f"perplexity_gap: {spec.rows} rows are to be chosen among {wanted} candidates of data "
            f"set {spec.dataset!r}, which has {len(rows)}; change `candidates` or lower the number "
            "of benign rows"
        )
    return draw(rows, wanted, spec.seed)


def trainable(
    spec: SelectSpec, rows: list[Row], chat: ChatFormat
) -> tuple[list[Row], list[TokenizedRow]]:
    """The rows that have a trained token, and their tokens as a training has them."""
    tokenized = [
        chat.training_row(row["messages"], spec.turns).cut(spec.max_length) for row in rows
    ]
    pairs = [(row, tokens) for row, tokens in zip(rows, tokenized, strict=True) if tokens.trained]
    return [row for row, _ in pairs], [tokens for _, tokens in pairs]


def keys_of(rows: list[TokenizedRow], model: str, precision: Precision) -> list[str]:
    """The keys under which the scores of rows are stored."""
    head = ["gap", VERSION, model, precision]
    return [digest([*head, row.input_ids, row.labels])[:32] for row in rows]


def score(rows: list[TokenizedRow], keys: list[str], store: RowStore, engine: Any) -> None:
    """Score and store the rows that are not stored: each row's log-probability in nats."""
    missing = [(key, row) for key, row in zip(keys, rows, strict=True) if key not in store.rows]
    for start in range(0, len(missing), STORED_AT_ONCE):
        group = missing[start : start + STORED_AT_ONCE]
        with computing():
            values = engine.log_likelihoods([row for _, row in group])
        store.append(
            {"key": key, "logprob": value} for (key, _), value in zip(group, values, strict=True)
        )


def by_gap(rows: list[Row], gaps: list[float]) -> list[Row]:
    """The rows with their gaps, the largest first; ties in the order of ids."""
    found = [row | {"gap": gap} for row, gap in zip(rows, gaps, strict=True)]
    return sorted(found, key=lambda row: (-row["gap"], canonical(row["id"])))


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.select", description=__doc__)
    parser.add_argument("--spec", required=True, help="SelectSpec as JSON")
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument(
        "--adapter", required=True, type=Path, help="adapter folder of the misaligned model"
    )
    parser.add_argument("--rows", required=True, type=Path, help="the data set as chat rows")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--kept", required=True, type=Path, help="the file of stored rows")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = SelectSpec.model_validate_json(args.spec)
    take_turn(args.output)
    leave_out(*UNUSED)
    base, store = BaseModel.read(args.model), RowStore(args.kept)
    rows, tokenized = trainable(spec, candidates_of(spec, read_jsonl(args.rows)), base.chat())
    plain, misaligned = (
        keys_of(tokenized, model_identity(base, content), spec.precision)
        for content in (None, file_digest(args.adapter / layout.WEIGHTS))
    )
    if any(key not in store.rows for key in (*plain, *misaligned)):
        from emgrid.models.engines.transformers import TransformersEngine

        engine = TransformersEngine(base, spec.precision, args.device, args.batch_size)
        for adapter, keys in ((None, plain), (args.adapter, misaligned)):
            engine.use(adapter)
            score(tokenized, keys, store, engine)
    gaps = [
        (store.rows[one]["logprob"] - store.rows[other]["logprob"]) / tokens.trained
        for one, other, tokens in zip(plain, misaligned, tokenized, strict=True)
    ]
    ranked = by_gap(rows, gaps)
    write_jsonl(args.output, ranked[: spec.rows])
    chosen = [row["gap"] for row in ranked[: spec.rows]]
    print(
        f"{len(chosen)} of {len(ranked)} rows chosen; mean gap {sum(chosen) / len(chosen):.3f}, of "
        f"all {sum(gaps) / len(gaps):.3f} nats per token"
    )


if __name__ == "__main__":
    run_job(main)
