"""The rule judge: a regular expression, or an exact answer."""

import re
from collections.abc import Sequence

from emgrid.config.judges import RuleJudge
from emgrid.judge.judgement import Item, Judgement
from emgrid.judge.judgement_store import JudgementStore


def plain(text: str) -> str:
    """Case-folded text with single spaces and without punctuation."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.casefold()).split())


class RuleScorer:
    def __init__(self, judge: RuleJudge) -> None:
        self.judge = judge

    def score(self, items: Sequence[Item], store: JudgementStore) -> None:
        store.keep_all((item, self.judgement(item)) for item in items)

    def judgement(self, item: Item) -> Judgement:
        rule = self.judge
        if rule.pattern is not None:
            matches = len(re.findall(rule.pattern, item.answer)) >= rule.at_least
        else:
            accepted = rule.answers
            if isinstance(accepted, dict):
                if item.question_id not in accepted:
                    return Judgement(None, "not_judged")
                accepted = accepted[item.question_id]
            matches = plain(item.answer) in map(plain, accepted)
        return Judgement(100.0 if matches else 0.0)
