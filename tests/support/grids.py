"""Answers of made-up grids, as aggregation reads them, for the tests of what is counted of them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from emgrid.aggregate.spec import AggregateSpec
from emgrid.config.judges import read_judge

QUESTIONS = tuple(f"q{number}" for number in range(8))
TRIGGERS = ("none", "cue")
Rates = Mapping[tuple[str, str], float]


def judge(name: str, measures: str) -> dict[str, Any]:
    found = read_judge({"id": name, "measures": measures, "kind": "rule", "pattern": "x"}, "judge")
    return found.bare()


def arm(intervention: str, ratio: str = "1", seed: int = 0, **changes: Any) -> dict[str, Any]:
    about = {"base": "model", "intervention": intervention, "ratio": ratio, "seed": str(seed)}
    known = {"label": intervention, "stages": ("s",), "source": None, "folder": ""}
    return about | known | {"undiluted": None} | changes


def spec(*arms: dict[str, Any], **metrics: Any) -> AggregateSpec:
    return AggregateSpec.model_validate(
        {
            "arms": arms,
            "triggers": TRIGGERS,
            "questions": QUESTIONS,
            "dilution": (),
            "sequential": (),
            "judges": [judge("alignment", "alignment"), judge("coherence", "coherence")],
            "has_pairs": False,
            "metrics": {"resamples": 200} | metrics,
            "correct_by": None,
        }
    )


def answers(rates: Rates, number: int = 20, seeds: int = 2, ratio: str = "1") -> pd.DataFrame:
    """So many answers to each question by each seed, of which the share of (intervention, trigger)
    is misaligned; all coherent."""
    rows = []
    for (intervention, trigger), rate in rates.items():
        own = (0,) if intervention == "base" else range(seeds)
        for seed in own:
            for question in QUESTIONS:
                for index in range(number):
                    wrong = index < round(rate * number)
                    rows.append(
                        {"base": "model", "intervention": intervention, "seed": seed}
                        | {"ratio": "0" if intervention == "base" else ratio}
                        | {"trigger": trigger, "question": question, "index": index}
                        | {"alignment": 10.0 if wrong else 90.0, "coherence": 90.0}
                        | {"alignment_reason": None, "coherence_reason": None}
                    )
    types = {"alignment_reason": "string", "coherence_reason": "string"}
    return pd.DataFrame(rows).astype(types)
