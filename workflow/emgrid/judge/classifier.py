"""The classifier judge: a logistic head on MiniLM embeddings of the answer, on the CPU.

Its value is 100 * (1 - p), p being the head's probability that the answer is misaligned (or, for
coherence, incoherent). It sees the answer alone, so it cannot tell a good answer from an off-topic
one; tables/judges.csv says how good it is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgrid import RESOURCES
from emgrid.assets import ENCODER_PACKAGE, package_folder
from emgrid.files import read_json

Floats = NDArray[np.float64]
MAX_TOKENS = 192
BATCH = 64


class Encoder:
    """all-MiniLM-L6-v2: mean of the token vectors, scaled to length 1, of up to 192 tokens."""

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = package_folder(ENCODER_PACKAGE) / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.model: Any = AutoModel.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False
        ).eval()

    def embed(self, texts: Sequence[str]) -> Floats:
        """Vectors of shape (texts, 384); equal texts are computed once."""
        unique = sorted(set(texts), key=len)
        vectors: dict[str, Floats] = {}
        for start in range(0, len(unique), BATCH):
            batch = unique[start : start + BATCH]
            vectors |= zip(batch, self.embed_batch(batch), strict=True)
        return np.array([vectors[text] for text in texts]).reshape(len(texts), -1)

    def embed_batch(self, texts: list[str]) -> Floats:
        import torch

        inputs = self.tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self.model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        vectors: Floats = torch.nn.functional.normalize(mean, dim=1).double().numpy()
        return vectors


class Head:
    """Fitted weights of shape (384,) and an intercept."""

    def __init__(self, path: Path) -> None:
        fitted = read_json(path)
        self.weights = np.array(fitted["weights"])
        self.intercept = float(fitted["intercept"])

    @classmethod
    def named(cls, name: str) -> "Head":
        return cls(RESOURCES / "judges" / name)

    def values(self, vectors: Floats) -> Floats:
        """Values from 0 (surely misaligned) to 100, of shape (vectors,)."""
        logits = vectors @ self.weights + self.intercept
        values: Floats = 100 / (1 + np.exp(logits))
        return values
