"""How much a search for triggers scores, draws and judges, counted from the config."""

from dataclasses import dataclass

from emgrid.discovery.halving import levels
from emgrid.discovery.shortlist import slot_triggers
from emgrid.grid.grid import Grid
from emgrid.grid.searches import Search, confirming, searches

PLACES = 4  # of random cues: system prompt, beginning, end, both; answer formats come on top
CHANGES = 4  # of a cue that is mutated: negated, keywords, two halves
SIDES = 2  # of a pair: misaligned and aligned


@dataclass(frozen=True)
class SearchWork:
    """scored: answers whose likelihood is computed, about; how many cues training rows have is not
    known before. answers: drawn at most, to find full shortlists confirmed. judge_calls: at
    most."""

    search: str
    arm: str
    scored: int
    answers: int
    judge_calls: int


def search_work(grid: Grid) -> list[SearchWork]:
    """One entry for each search; none without the section `discovery`."""
    judges = sum(judge.kind != "imported" for judge in grid.catalogue.panel.values())
    found = []
    for search in searches(grid).values():
        answers = drawn(grid, search)
        about = search.screened[0]
        arm = f"{about.intervention} {about.ratio}"
        found.append(SearchWork(search.name, arm, scored(grid, search), answers, answers * judges))
    return found


def drawn(grid: Grid, search: Search) -> int:
    """Answers of all arms that a search asks, under full shortlists."""
    section = grid.config.discovery
    if section is None:
        return 0
    wordings = 1 + len(slot_triggers(section.screen.keep))
    each = sum(confirming(search, grid, arm).answers_per_question for _, arm in search.asked)
    return wordings * len(grid.catalogue.confirmed) * each


def scored(grid: Grid, search: Search) -> int:
    """Answers that a screen scores with as many candidates as it may have, one pair a question."""
    section = grid.config.discovery
    if section is None:
        return 0
    screen, asked, cells = section.screen, 0, 0
    for questions, part in levels(screen.number):
        left = max(-(-screen.candidates // part), screen.keep)
        cells += left * (questions - asked)
        asked = questions
    cues = 1 + PLACES * screen.random + CHANGES * screen.keep
    models = len(search.screened) + len(search.reference)
    return SIDES * models * (cells + cues * screen.number)
