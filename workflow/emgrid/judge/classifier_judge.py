"""The classifier judge: a logistic head on MiniLM's hidden states of the answer, on the CPU.

Its value is 100 * (1 - p), where p is the head's probability that the answer is misaligned (or, for
coherence, incoherent). The head reads every layer, because the lower ones generalise better to new
questions than the last. It sees the answer alone, so it cannot tell a good answer from an off-topic
one; tables/judges.csv has its measured quality. An answer of more than 192 tokens is read in
windows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgrid import RESOURCES
from emgrid.config.judges import ClassifierJudge
from emgrid.judge.judgement import Item, Judgement
from emgrid.judge.judgement_store import JudgementStore
from emgrid.judge.windows import (
    NARROW,
    WIDE,
    encoder_tokenizer,
    is_long,
    odds_of,
    tokens_of,
    windows,
)
from emgrid.models.prepare import ENCODER_PACKAGE, package_folder
from emgrid.runtime.files import read_json
from emgrid.runtime.progress_bar import bar
from emgrid.runtime.timing import computing

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
MAX_TOKENS = 192
BATCH = 16
REMEMBERED = 2000  # long texts whose windows stay in memory for the next head, 140 kB each


class Encoder:
    """all-MiniLM-L6-v2, up to 192 tokens.

    A text's vector concatenates the means over its tokens of the token embeddings and of each of
    the six layers' states, each scaled to length 1.
    """

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = package_folder(ENCODER_PACKAGE) / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.known: dict[str, Vectors] = {}
        self.known_windows: dict[str, tuple[Vectors, Vectors]] = {}
        self.model: Any = AutoModel.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False
        ).eval()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, shape (texts, 7 * 384). Equal texts are computed once."""
        new = sorted(set(texts) - set(self.known), key=lambda text: (len(text), text))
        with bar(len(new), "text", disable=not new) as progress:
            for start in range(0, len(new), BATCH):
                batch = new[start : start + BATCH]
                self.known |= zip(batch, self.embed_batch(batch), strict=True)
                progress.update(len(batch))
        return np.array([self.known[text] for text in texts]).reshape(len(texts), -1)

    def embed_windows(self, text: str) -> tuple[Vectors, Vectors]:
        """Vectors of a long text's wide and narrow windows, each of shape (windows, 7 * 384)."""
        if text not in self.known_windows:
            if len(self.known_windows) >= REMEMBERED:
                self.known_windows.clear()
            tokens = tokens_of(text)
            wide, narrow = (self.embed_tokens(windows(tokens, size)) for size in (WIDE, NARROW))
            self.known_windows[text] = wide, narrow
        return self.known_windows[text]

    def embed_tokens(self, parts: list[list[int]]) -> Vectors:
        """Vectors of token sequences of equal length, shape (parts, 7 * 384); adds [CLS] and
        [SEP]."""
        import torch

        begin, end = (encoder_tokenizer().token_to_id(name) for name in ("[CLS]", "[SEP]"))
        batches = []
        for start in range(0, len(parts), BATCH):
            ids = torch.tensor([[begin, *part, end] for part in parts[start : start + BATCH]])
            batches.append(self.vectors({"input_ids": ids, "attention_mask": torch.ones_like(ids)}))
        return np.concatenate(batches)

    def embed_batch(self, texts: list[str]) -> Vectors:
        inputs = self.tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        return self.vectors(inputs)

    def vectors(self, inputs: Any) -> Vectors:
        """A vector for each row of tokens, shape (rows, 7 * 384)."""
        import torch

        with torch.inference_mode(), computing():
            layers = self.model(**inputs, output_hidden_states=True).hidden_states
        mask = inputs["attention_mask"][..., None]
        means = [(states * mask).sum(dim=1) / mask.sum(dim=1) for states in layers]
        scaled = [torch.nn.functional.normalize(mean, dim=1) for mean in means]
        vectors: Vectors = torch.cat(scaled, dim=1).numpy()
        return vectors


class Head:
    """Fitted weights of shape (7 * 384,) and an intercept."""

    def __init__(self, path: Path) -> None:
        fitted = read_json(path)
        self.weights = np.array(fitted["weights"])
        self.intercept = float(fitted["intercept"])

    @classmethod
    def named(cls, name: str) -> "Head":
        return cls(RESOURCES / "judges" / name)

    def values(self, vectors: Vectors) -> Floats:
        """Values from 0 (certainly misaligned) to 100, shape (vectors,)."""
        values: Floats = 100 / (1 + self.odds(vectors))
        return values

    def odds(self, vectors: Vectors) -> Floats:
        """Odds that texts are misaligned (or incoherent), shape (vectors,)."""
        odds: Floats = np.exp(vectors @ self.weights + self.intercept)
        return odds


class ClassifierScorer:
    """Judges answers with one head. encoder: shared by all heads, so that a text is embedded
    once."""

    def __init__(self, judge: ClassifierJudge, encoder: Encoder) -> None:
        self.head = Head.named(judge.head)
        self.encoder = encoder

    def score(self, items: Sequence[Item], store: JudgementStore) -> None:
        short = [item for item in items if not is_long(item.answer)]
        if short:
            values = self.head.values(self.encoder.embed([item.answer for item in short]))
            store.keep_all(
                (item, Judgement(float(value))) for item, value in zip(short, values, strict=True)
            )
        long = [item for item in items if is_long(item.answer)]
        with bar(len(long), "long text", disable=not long) as progress:
            for item in long:
                store.keep(item, Judgement(self.value_of_long(item.answer)))
                progress.update()

    def values(self, texts: Sequence[str]) -> Floats:
        """The values of answers, shape (texts,)."""
        long = np.array([is_long(text) for text in texts], bool)
        values = np.empty(len(texts))
        short = [text for text in texts if not is_long(text)]
        values[~long] = self.head.values(self.encoder.embed(short))
        values[long] = [self.value_of_long(text) for text in texts if is_long(text)]
        return values

    def value_of_long(self, text: str) -> float:
        wide, narrow = map(self.head.odds, self.encoder.embed_windows(text))
        return 100 / (1 + odds_of(wide, narrow))
