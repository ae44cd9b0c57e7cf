"""The model's own replies before a question: drawn and stored before the answers that wait for
them.

A row to draw has the keys of the replies that it waits for as `waits_for`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from emgrid.runtime.row_store import RowStore

Row = dict[str, Any]


def depth_of(row: Row) -> int:
    """How many of the model's own replies a row waits for; these are drawn and stored before."""
    return len(row.get("waits_for", ()))


def by_depth(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows in the groups in which they can be drawn, one after the other."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(depth_of(row), []).append(row)
    return [groups[depth] for depth in sorted(groups)]


def said(row: dict[str, Any], store: RowStore) -> list[str]:
    """The texts of the model's own replies that a row waits for; empty for a reply without an
    answer."""
    return [store.rows[key]["answer"] or "" for key in row.get("waits_for", ())]


def with_replies(drawn: dict[str, Any], replies: Sequence[str]) -> dict[str, Any]:
    """A drawn row with the replies that came before it, if there are any."""
    return drawn | ({"replies": list(replies)} if replies else {})
