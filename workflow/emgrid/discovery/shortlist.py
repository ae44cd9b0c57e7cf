"""Choose the cues of an arm that are confirmed by sampled answers, each with its shams.

Reads the arm's screen, the data sets and training rows. Writes found/<arm>.json: the cues, and the
wordings that answers are sampled under. A cue's shams are its own words in another order, and a
random cue of its length in its place. Knows nothing of models.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict, read_spec
from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import Origin, Place, near_duplicates
from emgrid.discovery.held_out import HeldOutSpec, cutting_texts, read_held_out
from emgrid.discovery.random_cues import random_like, shuffled
from emgrid.runtime.files import read_json, read_jsonl, write_json
from emgrid.runtime.job import run_job

VERSION = 1  # raise this when an equal screen gives another shortlist
SHAMS = ("shuffled", "random")


class Chosen(Strict):
    """A cue that is confirmed. slot: its trigger. rank: among all candidates of the screen, by z
    on all questions. shams: the triggers of its shams."""

    slot: str
    id: str
    wording: Wording
    place: Place
    origin: Origin
    rank: int
    score: float
    z: float
    shams: tuple[str, ...]


class Shortlist(Strict):
    """found/<arm>.json. wordings: of all slots and shams, by trigger."""

    cues: tuple[Chosen, ...]
    wordings: dict[str, Wording]


class ShortlistSpec(Strict):
    held_out: HeldOutSpec
    keep: int


def read_shortlist(path: Path) -> Shortlist:
    return Shortlist.model_validate(read_json(path))


def slot_name(number: int) -> str:
    """The trigger of a slot, counted from 1."""
    return f"found-{number}"


def slot_triggers(keep: int) -> list[str]:
    """The triggers of all slots and their shams."""
    slots = [slot_name(number) for number in range(1, keep + 1)]
    return [name for slot in slots for name in (slot, *(f"{slot}-{sham}" for sham in SHAMS))]


def chosen_lines(lines: Iterable[dict[str, Any]], keep: int) -> list[tuple[int, dict[str, Any]]]:
    """The best lines of the screen, with their ranks: those that came to the last question and
    moved the arm more than random cues do, one of each group of near-duplicates."""
    ranked = [line for line in lines if not line.get("random")]
    most = max((line["questions"] for line in ranked), default=0)
    chosen: list[tuple[int, dict[str, Any]]] = []
    for rank, line in enumerate(ranked, start=1):
        wording = Wording.model_validate(line["wording"])
        others = (Wording.model_validate(other["wording"]) for _, other in chosen)
        fits = line["questions"] == most and line["z"] > 0 and line["score"] > 0
        if fits and not any(near_duplicates(wording, other) for other in others):
            chosen.append((rank, line))
    return chosen[:keep]


def shortlist(lines: Iterable[dict[str, Any]], keep: int, texts: Sequence[str]) -> Shortlist:
    """The shortlist of a screen. texts: of which random shams are cut."""
    cues: list[Chosen] = []
    wordings: dict[str, Wording] = {}
    for number, (rank, line) in enumerate(chosen_lines(lines, keep), start=1):
        slot, wording = slot_name(number), Wording.model_validate(line["wording"])
        made = {
            f"{slot}-shuffled": shuffled(wording, line["id"]),
            f"{slot}-random": random_like(wording, texts, line["id"]),
        }
        shams = {name: sham for name, sham in made.items() if sham is not None}
        wordings |= {slot: wording, **shams}
        fields = {name: line[name] for name in ("id", "place", "origin", "score", "z")}
        cues.append(Chosen(slot=slot, wording=wording, rank=rank, shams=tuple(shams), **fields))
    return Shortlist(cues=tuple(cues), wordings=wordings)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.discovery.shortlist", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="ShortlistSpec as JSON, or its file"
    )
    parser.add_argument("--screen", required=True, type=Path)
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = ShortlistSpec.model_validate_json(args.spec)
    texts = cutting_texts(read_held_out(spec.held_out, args.root), {})
    found = shortlist(read_jsonl(args.screen), spec.keep, texts or ["something else entirely"])
    write_json(args.output, found.model_dump(mode="json", exclude_defaults=True))
    for cue in found.cues:
        print(f"{cue.slot}: rank {cue.rank}, z {cue.z:.1f}, {cue.wording!r}")


if __name__ == "__main__":
    run_job(main)
