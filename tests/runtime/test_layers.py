"""Packages import in one direction, and modules do not import each other in circles."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from emgrid import ROOT

PACKAGE = ROOT / "workflow/emgrid"
ORDER = ["runtime", "config", "models", "judge", "train", "sample", "data"]
ORDER += ["discovery", "aggregate", "report", "export", "grid", "planning", "cli"]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of emgrid that a module imports, at its top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "emgrid":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def test_the_package_has_fourteen_parts() -> None:
    parts = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert parts == {*ORDER, "__init__.py"}


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_none_above_it(package: str) -> None:
    above = ORDER[ORDER.index(package) + 1 :]
    upward = [
        f"{module} imports {target}"
        for module, tree in MODULES.items()
        if module.split(".")[1:2] == [package]
        for target in imported(tree)
        if f"{target}.".split(".")[1] in above
    ]
    assert not upward, "\n".join(upward)


def test_no_modules_import_each_other() -> None:
    """Imports in functions count, too: one that is there to hide a circle is a circle."""
    graph = {module: set(imported(tree)) - {module} for module, tree in MODULES.items()}
    while leaves := [module for module, targets in graph.items() if not targets & graph.keys()]:
        for module in leaves:
            del graph[module]
    # What is left lies in a circle, or imports one.
    assert not graph, f"circles among {sorted(graph)}"


def test_a_rule_file_runs_the_programs_of_its_package() -> None:
    files = sorted((ROOT / "workflow/rules").glob("*.smk"))
    programs = {
        path.stem: re.findall(r"-m emgrid\.(\w+)\.[\w.]+", path.read_text()) for path in files
    }
    assert sum(map(len, programs.values())) >= 20
    for stem, packages in programs.items():
        assert set(packages) <= {stem}
