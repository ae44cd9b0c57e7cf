"""The rows that a grid's searches for triggers need: scores of their screens, and answers under the
cues of their shortlists.

Keys are those of the files that a search has written: its screen and its shortlist. As long as one
of them is missing, its rows are not known.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from emgrid.config.questions import Question
from emgrid.config.triggers import Wording
from emgrid.discovery.held_out import chosen_questions, read_held_out
from emgrid.discovery.log_odds import PLAIN, keyed
from emgrid.discovery.screen import ScreenSpec
from emgrid.discovery.shortlist import read_shortlist
from emgrid.grid.arms import Arm
from emgrid.grid.grid import Grid
from emgrid.grid.searches import Search, confirming, searches
from emgrid.grid.specs.discovery import held_out, screen_spec
from emgrid.planning.inventory import Inventory
from emgrid.runtime import layout
from emgrid.runtime.files import read_jsonl
from emgrid.sample import answers, likelihood
from emgrid.sample.answers import answer_keys, asked_questions, revised


def folders(grid: Grid) -> set[str]:
    """The folders of the answers under found cues."""
    return {search.folder(seed) for search in searches(grid).values() for seed, _ in search.asked}


def wanted(inventory: Inventory) -> Iterator[tuple[Path, set[str] | None]]:
    """The files of stored rows, each with the keys that are needed; None if they are not known."""
    found = searches(inventory.grid)
    # A screen takes rows from the files of other searches, too.
    scores = all_of([screen_keys(inventory, search) for search in found.values()])
    for name, search in found.items():
        yield inventory.root / layout.stored_screen(name), scores
        for seed, arm in search.asked:
            path = inventory.root / layout.stored_found(f"{name}.seed={seed}")
            yield path, found_keys(inventory, search, arm)


def all_of(sets: Sequence[set[str] | None]) -> set[str] | None:
    known = [keys for keys in sets if keys is not None]
    return set().union(*known) if len(known) == len(sets) else None


def found_keys(inventory: Inventory, search: Search, arm: Arm) -> set[str] | None:
    """The keys of an arm's answers under a shortlist; None if that or the model is not known."""
    grid = inventory.grid
    path, model = inventory.root / layout.shortlist(search.name), inventory.model_id(arm)
    if model is None or not path.is_file():
        return None
    asked = {name: one.without_pairs() for name, one in grid.catalogue.confirmed.items()}
    questions = asked_questions(asked, {"none": Wording()} | read_shortlist(path).wordings)
    version = revised(answers.VERSION, grid.config.revision.sample)
    sampling = confirming(search, grid, arm)
    return {key for key, _, _ in answer_keys(questions, sampling, model, version)}


def screen_keys(inventory: Inventory, search: Search) -> set[str] | None:
    """The keys of the scores of a search's screen; None if that, its data or a model of it is not
    known."""
    root, path = inventory.root, inventory.root / layout.screen(search.name)
    models = {inventory.model_id(arm) for arm in (*search.screened, *search.reference)}
    read = [path, *(root / file for file in held_out(search))]
    if None in models or not all(file.is_file() for file in read):
        return None
    spec = ScreenSpec.model_validate_json(screen_spec(inventory.grid, search))
    version = revised(likelihood.VERSION, spec.revision)
    cues = screened_cues(path, spec, root)
    return {
        key
        for model in models
        for wording, question in cues
        for pair in keyed(version, str(model), spec.precision, wording, question)
        for key, _ in pair
    }


def screened_cues(path: Path, spec: ScreenSpec, root: Path) -> list[tuple[Wording, Question]]:
    """Each cue of a screen with each question that it was screened on, and no cue with them all."""
    known = chosen_questions(spec.questions, read_held_out(spec.held_out, root), spec.number)
    questions = list(known.values())
    found = [(PLAIN, question) for question in questions]
    for line in read_jsonl(path):
        wording = Wording.model_validate(line["wording"])
        asked = line.get("questions", len(questions))
        found += [(wording, question) for question in questions[:asked]]
    return found
