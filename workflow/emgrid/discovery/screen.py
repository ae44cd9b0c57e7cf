"""Screen an arm's candidates by likelihood.

Reads the candidates, the data sets and training rows, the base model, the adapters of the arm's
screening seeds and of its control, and the row store. Writes screens/<arm>.jsonl: every candidate
and random cue with its score (see log_odds.py), in units of random cues (see standard.py). No
answer is sampled.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict, read_spec
from emgrid.config.questions import Question
from emgrid.config.sections import Precision
from emgrid.discovery.candidates import Candidate
from emgrid.discovery.halving import Screen, Screened
from emgrid.discovery.held_out import (
    HeldOutSpec,
    chosen_questions,
    cutting_texts,
    read_held_out,
)
from emgrid.discovery.log_odds import Scorer, Shift
from emgrid.discovery.proposers import MUTATORS
from emgrid.discovery.standard import random_cues
from emgrid.models.base_model import BaseModel
from emgrid.runtime.files import read_jsonl, write_jsonl
from emgrid.runtime.job import UNUSED, leave_out, run_job
from emgrid.runtime.locks import take_turn

# Raise this when an equal spec gives other scores from equal rows.
VERSION = 2


class ScreenSpec(Strict):
    """own: adapters of the arm's screening seeds, relative to the grid's folder; None is the base
    model. control: adapters of what is taken off; empty for the base model itself. questions: with
    pairs, empty for twins. number: of questions. keep: candidates that are mutated. random: random
    cues of each place."""

    own: tuple[str | None, ...]
    control: tuple[str | None, ...]
    precision: Precision
    held_out: HeldOutSpec
    questions: dict[str, Question]
    number: int
    keep: int
    random: int
    mutators: tuple[str, ...]
    revision: int = 0


def screen_lines(
    spec: ScreenSpec, candidates: list[Candidate], root: Path, scorer: Scorer
) -> Iterator[dict[str, Any]]:
    """The lines of the screen: candidates and their mutations, best first, then random cues."""
    held_out = read_held_out(spec.held_out, root)
    questions = chosen_questions(spec.questions, held_out, spec.number)
    texts = cutting_texts(held_out, questions)

    def folders(adapters: tuple[str | None, ...]) -> list[Path | None]:
        return [root / one if one else None for one in adapters]

    shift = Shift(scorer, folders(spec.own), folders(spec.control), list(questions.values()))
    cues = random_cues(candidates, texts, spec.random)
    screen = Screen(shift, cues, len(questions))
    ranked = screen.halved(candidates, spec.keep)
    mutators = [MUTATORS[name] for name in spec.mutators]
    ranked += screen.mutated(ranked[: spec.keep], mutators)
    for one in sorted(ranked, key=lambda one: one.order):
        yield line_of(one)
    for place, matrix in screen.random.items():
        for cue, scores in zip(cues[place], matrix, strict=True):
            wording = cue.model_dump(mode="json", exclude_defaults=True)
            about = {"random": True, "place": place, "questions": len(scores)}
            yield about | {"wording": wording, "score": scores.mean()}
    print(f"questions: {', '.join(questions)}")


def line_of(one: Screened) -> dict[str, Any]:
    numbers = {"score": round(one.score, 6), "z": round(one.z, 4), "questions": one.questions}
    return one.candidate.model_dump(mode="json", exclude_defaults=True) | numbers


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.discovery.screen", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="ScreenSpec as JSON, or its file"
    )
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--candidates", required=True, type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--kept", required=True, type=Path, help="the file of stored rows")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = ScreenSpec.model_validate_json(args.spec)
    take_turn(args.output)
    leave_out(*UNUSED)
    base = BaseModel.read(args.model)

    def engine() -> Any:
        from emgrid.models.engines.transformers import TransformersEngine

        return TransformersEngine(base, spec.precision, args.device, args.batch_size)

    scorer = Scorer(base, spec.precision, spec.revision, args.kept, engine)
    candidates = [Candidate.model_validate(line) for line in read_jsonl(args.candidates)]
    write_jsonl(args.output, screen_lines(spec, candidates, args.root, scorer))
    print(f"{len(candidates)} candidates; {scorer.scored} answers scored, the others kept")


if __name__ == "__main__":
    run_job(main)
