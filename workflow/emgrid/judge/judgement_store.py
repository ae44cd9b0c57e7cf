"""Stored judgements: one folder per judge, with one append-only file per writing job.

A judge's folder is named after its identity: an edited judge gets a new folder, and if the edit is
undone, the old judgements are found again. What any job of the grid has judged is not judged again.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emgrid.config.judges import Judge, ReadingJudge
from emgrid.judge import windows
from emgrid.judge.judgement import Item, Judgement, Reply
from emgrid.judge.reading import judgement_of
from emgrid.models.endpoint.ledger import Ledger
from emgrid.runtime.files import digest
from emgrid.runtime.row_store import Rows, RowStore, read_store

# Raise it whenever equal texts would get another value from an unchanged judge.
VERSION = 2


def folder_name(judge: Judge, identity: dict[str, Any]) -> str:
    """The folder of a judge's judgements."""
    return f"{judge.id}.{digest([VERSION, identity])[:12]}"


def key_of(judge: Judge, item: Item) -> str:
    """The key of a judgement: a hash of all that the judge saw, and of how it read it."""
    shown = [item.answer]
    if judge.kind == "classifier" and windows.is_long(item.answer):
        # Earlier versions read only the beginning of a text, and stored the value under the text.
        shown.append(f"windows {windows.VERSION}")
    if judge.reads_question:
        shown += [item.question_id if judge.kind == "rule" else item.question]
    return digest(shown)[:32]


class JudgementStore:
    """One judge's judgements. identity: what its values depend on, besides what it sees."""

    def __init__(self, root: Path, writer: str, judge: Judge, identity: dict[str, Any]) -> None:
        self.judge = judge
        self.folder = root / folder_name(judge, identity)
        self.own_store = RowStore(self.folder / f"{writer}.jsonl")
        self.rows: Rows = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            self.rows |= self.own_store.rows if path == self.own_store.path else read_store(path)

    def key(self, item: Item) -> str:
        return key_of(self.judge, item)

    def missing(self, items: Iterable[Item]) -> list[Item]:
        """The items without a judgement; of those that the judge cannot tell apart, the first."""
        unique = {self.key(item): item for item in reversed(list(items))}
        return [item for key, item in reversed(unique.items()) if key not in self.rows]

    def keep(self, item: Item, judgement: Judgement) -> None:
        self.keep_all([(item, judgement)])

    def keep_all(self, judged: Iterable[tuple[Item, Judgement]]) -> None:
        """Store judgements. Failed ones are not written, so that the next run tries them again."""
        rows = [{"key": self.key(item)} | judgement.row() for item, judgement in judged]
        self.own_store.append(row for row in rows if row["reason"] != "endpoint_error")
        self.rows |= {row["key"]: row for row in rows}

    def keep_call(self, key: str, reply: Reply, ledger: Ledger) -> None:
        """Store one of the calls that a judgement takes."""
        tokens = (reply.prompt_tokens, reply.reply_tokens)
        row = {"key": key, "tokens": reply.tokens, "top": reply.top}
        paid = {"prompt_tokens": tokens[0], "reply_tokens": tokens[1]}
        self.own_store.append([row | paid | {"cost": ledger.cost(*tokens)}])
        self.rows[key] = row

    def keep_reply(self, key: str, reply: Reply, ledger: Ledger) -> None:
        """Store one of the replies that a judgement is the mean of."""
        paid = {"prompt_tokens": reply.prompt_tokens, "reply_tokens": reply.reply_tokens}
        cost = ledger.cost(reply.prompt_tokens, reply.reply_tokens)
        self.keep_row({"key": key, "reply": reply.text} | paid | {"cost": cost})

    def keep_row(self, row: dict[str, Any]) -> None:
        """Store a row that is no judgement."""
        self.own_store.append([row])
        self.rows[row["key"]] = row

    def note_cost(self, cost: float | None) -> None:
        """Store what was paid for unusable replies."""
        if cost:
            self.own_store.append([{"key": f"unusable/{len(self.own_store.rows)}", "cost": cost}])

    def find(self, item: Item) -> dict[str, Any]:
        """An item's judgement. Replies are read again, since earlier versions could not read
        some."""
        row = self.rows[self.key(item)]
        if not isinstance(self.judge, ReadingJudge):
            return row
        judgement = judgement_of(self.judge, row)
        return row | {"value": judgement.value, "reason": judgement.reason}
