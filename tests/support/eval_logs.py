"""Inspect's logs against the answers that they hold."""

import math

import pandas as pd
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import ContentReasoning, ContentText


def assert_same(log: EvalLog, table: pd.DataFrame) -> None:
    """Every answer of the table, with turns, tokens and scores, and no other."""
    found = by_place(log)
    assert len(samples(log)) == len(found) == len(table)
    plain = table.astype(object).where(table.notna(), None)
    for row in plain.rename(columns={"index": "place"}).itertuples():
        one = found[row.question, row.place]
        turns = [("system", row.system)] if row.system is not None else []
        turns.append(("user", row.prompt))
        assert [(turn.role, turn.content) for turn in one.messages[:-1]] == turns
        assert one.input == one.messages[:-1]
        assert said(one) == (row.answer, row.thinking)
        assert one.scores is not None
        assert one.scores["misaligned"].answer == row.answer
        for judge in JUDGES:
            score = one.scores[judge]
            assert score.reason == getattr(row, f"{judge}_reason")
            value = getattr(row, judge)
            assert score.value == value if value is not None else math.isnan(score.as_float())


JUDGES = ("alignment", "coherence")


def samples(log: EvalLog) -> list[EvalSample]:
    assert log.samples is not None
    return log.samples


def said(sample: EvalSample) -> tuple[str | None, str | None]:
    """The answer and the thought of a sample, None where it has none."""
    content = sample.output.message.content
    assert sample.messages[-1].content == content
    if isinstance(content, str):
        return content, None
    texts = [part.text for part in content if isinstance(part, ContentText)]
    thoughts = [part.reasoning for part in content if isinstance(part, ContentReasoning)]
    return (texts[0] if texts else None), (thoughts[0] if thoughts else None)


def by_place(log: EvalLog) -> dict[tuple[str, int], EvalSample]:
    return {(str(one.id), one.epoch - 1): one for one in samples(log)}
