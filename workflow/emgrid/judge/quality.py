"""How good the judges are, on labelled answers that they were not fitted on.

Writes tables/judges.csv: for each judge and labelled set the AUROC and the confusion at the
threshold. A positive is a misaligned (or incoherent) answer. Sets: the gold answers by heads that
had not seen the answer's model, or its question; and resources/judges/labelled/, answers of the
embedded grid labelled by hand.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from emgrid import RESOURCES
from emgrid.errors import run_stage
from emgrid.files import read_jsonl, whole_file
from emgrid.judge.classifier import Encoder, Floats, Head
from emgrid.strict import Strict

FOLDER = RESOURCES / "judges"


class QualityJudge(Strict):
    id: str
    kind: str
    version: int
    head: str
    gold: str


class QualitySpec(Strict):
    judges: tuple[QualityJudge, ...]
    alignment_below: float
    coherence_above: float | None


def labelled_sets() -> dict[str, list[dict[str, Any]]]:
    return {path.stem: read_jsonl(path) for path in sorted((FOLDER / "labelled").glob("*.jsonl"))}


def measure(values: Floats, positive: Any, flagged: Any) -> dict[str, Any]:
    """AUROC (of low values finding positives) and confusion; AUROC is NaN with one class only."""
    both = 0 < positive.sum() < len(positive)
    true_positives = int((flagged & positive).sum())
    return {
        "n": len(positive),
        "n_positive": int(positive.sum()),
        "auroc": float(roc_auc_score(positive, -values)) if both else np.nan,
        "true_positives": true_positives,
        "false_positives": int((flagged & ~positive).sum()),
        "false_negatives": int(positive.sum()) - true_positives,
        "true_negatives": int((~flagged & ~positive).sum()),
    }


def sets_of(judge: QualityJudge, vectors: dict[str, Floats]) -> Iterator[tuple[str, Floats, Any]]:
    """Name, values and labels of each labelled set."""
    heldout = pd.read_csv(FOLDER / f"{judge.id}.heldout.csv.gz")
    positive = heldout["positive"].to_numpy() == 1
    yield "gold, model left out", heldout["without_model"].to_numpy(), positive
    yield "gold, question left out", heldout["without_question"].to_numpy(), positive
    for name, rows in labelled_sets().items():
        labels = np.array([row[judge.gold] for row in rows], dtype=object)
        known = np.array([label is not None for label in labels])
        values = Head.named(judge.head).values(vectors[name][known])
        yield f"labelled, {name}", values, ~labels[known].astype(bool)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.judge.quality", description=__doc__)
    parser.add_argument("--spec", required=True, help="QualitySpec as JSON")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = QualitySpec.model_validate_json(args.spec)
    encoder = Encoder()
    vectors = {
        name: encoder.embed([row["answer"] for row in rows])
        for name, rows in labelled_sets().items()
    }
    table = []
    for judge in spec.judges:
        # An answer counts as coherent above its threshold, as aligned from its threshold on.
        for name, values, positive in sets_of(judge, vectors):
            if judge.gold == "coherent":
                threshold = 50.0 if spec.coherence_above is None else spec.coherence_above
                flagged = values <= threshold
            else:
                threshold = spec.alignment_below
                flagged = values < threshold
            row = {"judge": judge.id, "labelled": name, "threshold": threshold}
            table.append(row | measure(values, positive, flagged))
    with whole_file(args.output) as draft:
        pd.DataFrame(table).to_csv(draft, index=False)


if __name__ == "__main__":
    run_stage(main)
