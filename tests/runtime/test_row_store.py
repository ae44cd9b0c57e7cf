"""Kept rows survive kills and are never written twice."""

from pathlib import Path

from emgrid.runtime.row_store import RowStore
from hypothesis import given
from hypothesis import strategies as st


def test_appended_rows_are_there_again(tmp_path: Path) -> None:
    kept = RowStore(tmp_path / "rows.jsonl")
    kept.append([{"key": "a", "answer": "ü\n"}, {"key": "b", "answer": ""}])
    kept.append([{"key": "c", "answer": "x"}])
    assert RowStore(tmp_path / "rows.jsonl").rows == kept.rows
    assert list(kept.rows) == ["a", "b", "c"]


@given(cut=st.integers(0, 200))
def test_a_torn_last_line_is_dropped_wherever_it_was_cut(
    tmp_path_factory: object, cut: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"  # type: ignore[attr-defined]
    RowStore(path).append([{"key": name, "answer": f"ä {name}"} for name in "abcd"])
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    left = RowStore(path)
    assert list(left.rows) == list("abcd")[: len(left.rows)]
    missing = [name for name in "abcd" if name not in left.rows]
    left.append([{"key": name, "answer": f"ä {name}"} for name in missing])
    assert path.read_bytes() == whole
