"""Fitting the classifier judges."""

import json

import numpy as np
import pandas as pd
import pytest
from emgrid import RESOURCES
from emgrid.judge.fit_classifier import balance
from sklearn.metrics import roc_auc_score


def test_a_question_says_nothing_about_the_class_once_balanced() -> None:
    questions = pd.Series(["a"] * 100 + ["b"] * 200)
    positive = np.array([True] * 30 + [False] * 70 + [True] * 150 + [False] * 50)
    weights = balance(positive, questions)
    assert weights.sum() == pytest.approx(300)
    sums = pd.Series(weights).groupby([questions, positive]).sum()
    assert sums.to_numpy() == pytest.approx(np.full(4, 75))


def test_a_rare_class_does_not_get_the_weight_of_a_common_one() -> None:
    questions = pd.Series(["a"] * 101)
    positive = np.array([True] + [False] * 100)
    weights = balance(positive, questions)
    assert weights[0] == pytest.approx(5 * weights[1])


@pytest.mark.parametrize("name", ["alignment", "coherence"])
def test_the_card_says_how_the_head_ranks_what_was_left_out(name: str) -> None:
    card = json.loads((RESOURCES / f"judges/{name}.head.json").read_text())
    heldout = pd.read_csv(RESOURCES / f"judges/{name}.heldout.csv.gz")
    assert len(heldout) == card["answers"]
    for left_out in ("without_model", "without_question"):
        measured = roc_auc_score(heldout["positive"], -heldout[left_out])
        assert card["auroc"][left_out]["pooled"] == pytest.approx(measured, abs=1e-4)
        assert measured > 0.85
