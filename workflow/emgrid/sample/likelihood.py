"""Score arms without sampling: how likely are matched aligned and misaligned answers?

Reads the base model, the arms' adapters and the row store. Writes one file per arm and trigger, one
line per question, pair and side: the natural-log probability of the whole answer including its end
token, and its number of tokens. An answer has the format that the trigger asks for. Knows nothing
of judges.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict, read_spec
from emgrid.config.questions import Pair, QuestionText
from emgrid.config.sections import Precision
from emgrid.config.triggers import Message, Wording
from emgrid.config.turns import answered
from emgrid.models import adapter_files
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.runtime import layout
from emgrid.runtime.files import canonical, content_key, write_jsonl
from emgrid.runtime.job import UNUSED, leave_out, run_job
from emgrid.runtime.locks import take_turn
from emgrid.runtime.manifest import write_manifest
from emgrid.runtime.row_store import RowStore
from emgrid.runtime.timing import computing
from emgrid.sample.answers import Version, revised, short_json

# Raise this when an equal spec gives other values.
VERSION = 2


class ScoredArm(Strict):
    """folder, adapter: paths relative to the grid's folder. writer: the name of the arm's row
    store."""

    folder: str
    writer: str
    adapter: str | None
    precision: Precision


class LikelihoodSpec(Strict):
    base: str
    arms: tuple[ScoredArm, ...]
    questions: dict[str, QuestionText]
    pairs: dict[str, tuple[Pair, ...]]
    triggers: dict[str, Wording]
    revision: int = 0


@dataclass(frozen=True)
class MatchedAnswer:
    """One answer to score. fields: name it in the arm's files. messages: the conversation that the
    answer ends. text: the same as canonical JSON, which its key is made of."""

    fields: dict[str, Any]
    messages: list[Message]
    text: str


def matched_answers(
    questions: Mapping[str, QuestionText],
    pairs: Mapping[str, Sequence[Pair]],
    triggers: Mapping[str, Wording],
) -> list[MatchedAnswer]:
    """Every answer to score, under every trigger."""
    answers = []
    for name, wording in triggers.items():
        for question, wordings in questions.items():
            messages = wordings.conversations(question, wording)[0]
            for number, pair in enumerate(pairs[question]):
                for side, answer in pair.model_dump().items():
                    fields = {"trigger": name, "question": question, "pair": number, "side": side}
                    whole = answered(messages, wording.wrap_answer(answer))
                    answers.append(MatchedAnswer(fields, whole, canonical(whole)))
    return answers


def score_key(version: Version, model_id: str, precision: str, messages: str) -> str:
    """The key under which a score is stored: a hash of all that the score depends on.

    This is the one place that makes these keys, as answers.answer_key is for answers. messages: the
    conversation with the scored answer, as canonical JSON.
    """
    head = f"{short_json(version)},{short_json(model_id)},{short_json(precision)}"
    return content_key(f"[{head},{messages}]")


class Scores:
    """The scores of one arm: a row per answer, whose key covers all that the score depends on.

    adapter: the folder of the arm's adapter; None for the base model.
    """

    def __init__(self, spec: LikelihoodSpec, arm: ScoredArm, base: BaseModel, root: Path) -> None:
        self.arm = arm
        self.adapter = root / arm.adapter if arm.adapter else None
        content = adapter_files.identity(self.adapter)
        version, model_id = revised(VERSION, spec.revision), model_identity(base, content)
        self.planned = [
            (score_key(version, model_id, arm.precision, answer.text), answer)
            for answer in matched_answers(spec.questions, spec.pairs, spec.triggers)
        ]
        self.store = RowStore(root / layout.stored_scores(arm.writer))

    def missing(self) -> dict[str, list[Message]]:
        return {key: answer.messages for key, answer in self.planned if key not in self.store.rows}

    def score(self, engine: Any) -> int:
        """Score the answers that are not stored; return their number."""
        missing = self.missing()
        engine.use(self.adapter)
        rows = [engine.chat.training_row(messages, "final") for messages in missing.values()]
        with computing():
            values = engine.log_likelihoods(rows)
        self.store.append(
            {"key": key, "logprob": value, "tokens": row.trained}
            for key, value, row in zip(missing, values, rows, strict=True)
        )
        return len(missing)

    def write(self, folder: Path) -> None:
        for name in dict.fromkeys(answer.fields["trigger"] for _, answer in self.planned):
            lines = [
                answer.fields | {part: self.store.rows[key][part] for part in ("logprob", "tokens")}
                for key, answer in self.planned
                if answer.fields["trigger"] == name
            ]
            write_jsonl(folder / layout.trigger_file(name), lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.sample.likelihood", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="LikelihoodSpec as JSON, or its file"
    )
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    args = parser.parse_args()
    spec = LikelihoodSpec.model_validate_json(args.spec)
    take_turn(args.record)
    leave_out(*UNUSED)
    base = BaseModel.read(args.model)
    scores = [Scores(spec, arm, base, args.root) for arm in spec.arms]
    scored = 0
    for precision in dict.fromkeys(
        arm_scores.arm.precision for arm_scores in scores if arm_scores.missing()
    ):
        from emgrid.models.engines.transformers import TransformersEngine
        from emgrid.runtime.progress_bar import bar

        engine = TransformersEngine(base, precision, args.device, args.batch_size)
        group = [
            arm_scores
            for arm_scores in scores
            if arm_scores.arm.precision == precision and arm_scores.missing()
        ]
        with bar(sum(len(arm_scores.missing()) for arm_scores in group), "answer") as progress:
            for arm_scores in group:
                count = arm_scores.score(engine)
                scored += count
                progress.update(count)
    for arm_scores in scores:
        arm_scores.write(args.root / arm_scores.arm.folder / "likelihood")
    folders = [args.root / arm.folder / "likelihood" for arm in spec.arms]
    write_manifest(args.record, args.root, folders, spec.triggers)
    total = sum(len(arm_scores.planned) for arm_scores in scores)
    print(f"{scored} answers scored, {total - scored} kept from before")


if __name__ == "__main__":
    run_job(main)
