"""The tables of a finished grid as pandas frames, for people: behind `emgrid.load`.

Reads the files of tables/ when they are asked for. Needs no config, and knows nothing of what the
columns mean: docs/results.md does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError, suggestion

if TYPE_CHECKING:  # pandas is imported when the first table is read, for start-up time
    from pandas import DataFrame

KINDS = (".csv", ".parquet")
# Columns of names, which may look like numbers: a ratio is "0.05", a base model may be "1".
NAMES = ("base", "intervention", "ratio", "trigger", "question", "label", "adapter", "adapter_from")


class Tables(Mapping[str, "DataFrame"]):
    """The tables by name: `tables.rates` and `tables["rates"]` are rates.csv. Each is read once;
    a copy is yours to change."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return table_files(self.root)

    @cached_property
    def _read(self) -> dict[str, DataFrame]:
        return {}

    def __getitem__(self, name: str) -> DataFrame:
        if name not in self._paths:
            raise KeyError(self._unknown(name))
        if name not in self._read:
            self._read[name] = read_table(self._paths[name])
        return self._read[name]

    def path(self, name: str) -> Path:
        """The file of a table."""
        return self._paths[name]

    def __getattr__(self, name: str) -> DataFrame:
        # Only public names are tables: copy and pickle ask for others before there is a root.
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._paths:
            raise AttributeError(self._unknown(name))
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._paths]

    def __repr__(self) -> str:
        return f"<tables of {self.root}: {', '.join(self)}>"

    def _unknown(self, name: str) -> str:
        return f"{self.root} has no table {name!r}; {suggestion(name, self)}"


def table_files(root: Path) -> dict[str, Path]:
    """The files of a grid's tables by name. Raises EmgridError if there are none."""
    if not root.is_dir():
        other = Path(layout.grid_folder(root.name))
        way = f"did you mean {str(other)!r}?" if other.is_dir() else "name a folder of results/"
        raise EmgridError(f"{root}: no such folder; {way}")
    paths = sorted((root / layout.TABLES).glob("*.*"))
    found = {path.stem: path for path in paths if path.suffix in KINDS and path.stem[0] != "."}
    if not found:
        raise EmgridError(
            f"{root}: no {layout.TABLES} yet; they are there when the grid has run "
            "(`emgrid status` says how far it is)"
        )
    return found


def read_table(path: Path) -> DataFrame:
    """One table. Names stay texts; only an empty cell is a missing value."""
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(
        path, dtype=dict.fromkeys(NAMES, "str"), keep_default_na=False, na_values=[""]
    )


def load(folder: str | Path) -> Tables:
    """The tables of the grid whose folder this is. Raises EmgridError if it has none."""
    tables = Tables(Path(folder))
    len(tables)  # so that a wrong folder is named here, not at the first table
    return tables
