"""random_words: words of user turns, chosen at random: a baseline that others must beat. No search
has it unless the config names it."""

from collections.abc import Iterator
from itertools import product
from typing import get_args

from emgrid.discovery.candidates import WORD, Candidate, Place
from emgrid.discovery.proposers.proposer import Proposer
from emgrid.discovery.random_cues import random_wording
from emgrid.discovery.rows import Rows

NUMBER = 64
LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10)  # in words
PLACES: tuple[Place, ...] = get_args(Place)


class RandomWords(Proposer):
    name = "random_words"

    def propose(self, rows: Rows) -> Iterator[Candidate]:
        texts = sorted({row.user for row in rows.rows if WORD.search(row.user)})
        if not texts:
            return
        shapes = list(product(LENGTHS, PLACES))
        for number in range(NUMBER):
            words, place = shapes[number % len(shapes)]
            wording = random_wording(place, words, texts, number)
            yield rows.candidate(self.name, wording, rows.carrying(wording))
