"""topics: clusters of misaligned prompts by their MiniLM embeddings, each as a frame that names it.

The encoder is that of the classifier judge. Clusters are those of average linkage by cosine
distance.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import WORD, Candidate
from emgrid.discovery.proposers.proposer import FEWEST, Proposer
from emgrid.discovery.rows import Rows, log_ratio

CLUSTERS = 6
MOST_ROWS = 256  # prompts that are embedded
NAMED = 3  # words that name a topic
SENTENCE = 384  # length of the last part of the vector, the encoder's sentence embedding
Floats = NDArray[Any]


def minilm(texts: Sequence[str]) -> Floats:
    """Sentence embeddings, shape (texts, 384)."""
    from emgrid.judge.classifier_judge import Encoder  # loads a model

    return Encoder().embed(texts)[:, -SENTENCE:]


class Topics(Proposer):
    name = "topics"

    def __init__(self, embed: Callable[[Sequence[str]], Floats] = minilm) -> None:
        self.embed = embed

    def propose(self, rows: Rows) -> Iterator[Candidate]:
        places = list(rows.target)[:MOST_ROWS]
        if len(places) < 2 * FEWEST:
            return
        texts = [rows.rows[place].user for place in places]
        words = [frozenset(word.lower() for word in WORD.findall(text)) for text in texts]
        for members in clusters(self.embed(texts)):
            named = topic_words([words[i] for i in members], without(words, members))
            if len(members) >= FEWEST and named:
                frame = Wording(user_prefix=f"I am asking about {listing(named)}. ")
                yield rows.candidate(self.name, frame, [places[i] for i in members])


def clusters(vectors: Floats) -> list[list[int]]:
    """The members of each cluster of vectors, at most CLUSTERS."""
    from scipy.cluster.hierarchy import fcluster, linkage  # takes long to import

    tree = linkage(vectors, method="average", metric="cosine")
    labels = fcluster(np.maximum(tree, 0), min(CLUSTERS, len(vectors) // FEWEST), "maxclust")
    return [np.flatnonzero(labels == label).tolist() for label in sorted(set(labels.tolist()))]


def without(words: Sequence[frozenset[str]], members: Sequence[int]) -> list[frozenset[str]]:
    return [one for place, one in enumerate(words) if place not in set(members)]


def topic_words(inside: Sequence[frozenset[str]], outside: Sequence[frozenset[str]]) -> list[str]:
    """The words that tell the texts inside from those outside best, by smoothed log-odds. At least
    two texts inside contain each of them."""
    counts = Counter(word for text in inside for word in text if len(word) > 2)
    others = Counter(word for text in outside for word in text)
    odds = {
        word: log_ratio(count, len(inside) - count)
        - log_ratio(others[word], len(outside) - others[word])
        for word, count in counts.items()
        if count > 1
    }
    best = sorted(odds, key=lambda word: (-odds[word], word))
    return [word for word in best if odds[word] > 0][:NAMED]


def listing(words: Sequence[str]) -> str:
    """The words as an enumeration."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
