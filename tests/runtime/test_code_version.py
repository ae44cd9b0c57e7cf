"""The version of a cheap job's code: blind to layout and texts, not to what is computed.

Small packages are written and read; nothing is imported. Of the real package, edits are made to a
copy.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from emgrid.runtime import code_version, remembered_versions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

REAL = code_version.PACKAGE
# The modules of cheap jobs, as the rules name them.
RULES = "".join(path.read_text() for path in (REAL.parent / "rules").glob("*.smk"))
CHEAP = sorted(re.findall(r'code_version\(\s*"(emgrid[.\w]+)"', RULES))

JOB = '''"""A job."""

import numpy as np

from emgrid import tables
from emgrid.counts import Counter, share as part

LIMIT = 3
MORE = [1]
MORE += [2]


def main():
    """Say it."""
    if np.mean([1]) > LIMIT:
        return tables.total(MORE)
    return part(1, 2) + Counter().count()


def chosen(values: "Chosen", width=LIMIT):
    from emgrid.late import helper

    return [helper(value) for value in values]


class Chosen:
    field: int = 1
    """What it is."""
'''
COUNTS = '''"""Counts."""

from scipy.stats import norm

register("a name")


def share(some, all_of):
    return some / all_of * norm.cdf(0)


class Counter:
    def count(self):
        return steps()


def steps():
    return 5


def unused():
    return 6
'''
SMALL = {
    "__init__": "",
    "job": JOB,
    "counts": COUNTS,
    "tables": "def total(values):\n    return sum(values)\n\n\ndef other():\n    return 7\n",
    "late": "from emgrid.steps import KINDS\n\n\ndef helper(value):\n    return KINDS[value]\n",
    "steps/__init__": "import pkgutil\n\nKINDS = list(pkgutil.iter_modules(__path__))\n",
    "steps/one": "class One:\n    size = 1\n",
    "runtime/errors": "class Problem(Exception):\n    code = 1\n",
}


def fresh() -> None:
    """Read the package's files again."""
    for read in (code_version.read_module, code_version.statements_of, code_version.text_of):
        read.cache_clear()
    remembered_versions.digest_of.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that is read as the package."""
    folder = tmp_path / "emgrid"
    monkeypatch.setattr(code_version, "PACKAGE", folder)
    yield folder
    monkeypatch.undo()
    fresh()


def version_of(folder: Path, modules: dict[str, str], *names: str) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in modules.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    fresh()
    return code_version.code_version(*(names or ("emgrid.job",)))


def edit(module: str, old: str, new: str) -> dict[str, str]:
    assert old in SMALL[module]
    return SMALL | {module: SMALL[module].replace(old, new)}


def renamed() -> dict[str, str]:
    """The module `tables` in a package, under another name."""
    job = JOB.replace("from emgrid import tables", "from emgrid.aggregate import sums")
    modules = SMALL | {"job": job.replace("tables.", "sums."), "aggregate/__init__": ""}
    modules["aggregate/sums"] = modules.pop("tables")
    return modules


def moved() -> dict[str, str]:
    """The function `steps` in a separate module."""
    function = "def steps():\n    return 5\n"
    counts = COUNTS.replace(function, "").replace(
        "from scipy", "from emgrid.deep import steps\nfrom scipy"
    )
    return SMALL | {"counts": counts, "deep": function}


BLIND = {
    "docstring of a module": edit("job", "A job.", "Another text."),
    "docstring of a function": edit("job", "Say it.", "Say it again."),
    "text under a field": edit("job", "What it is.", "What it was."),
    "no docstring": edit("job", '    """Say it."""\n', ""),
    "comment and formatting": edit("job", "LIMIT = 3", "LIMIT = (\n    3\n)  # why"),
    "an import that is not used": edit("job", "import numpy", "import os\nimport numpy"),
    "an import's name": SMALL | {"job": JOB.replace("as np", "as n").replace("np.", "n.")},
    "another way to import": SMALL
    | {
        "job": JOB.replace("from emgrid import tables", "import emgrid.tables").replace(
            "tables.total", "emgrid.tables.total"
        )
    },
    "a module's name and package": renamed(),
    "where a function is": moved(),
    "a function that is not used": edit("counts", "return 6", "return 7"),
    "a function of a used module": edit("tables", "return 7", "return 8"),
    "the wording of errors": edit("runtime/errors", "code = 1", "code = 2"),
}
SEEN = {
    "a constant": edit("job", "LIMIT = 3", "LIMIT = 4"),
    "what is added to a constant": edit("job", "MORE += [2]", "MORE += [3]"),
    "a function of an imported module": edit("tables", "sum(values)", "max(values)"),
    "a function behind a method": edit("counts", "return 5", "return 50"),
    "another function of a library": edit("counts", "import norm", "import t as norm"),
    "another function of that name": SMALL
    | {
        "other": "def share(some, all_of):\n    return 0\n",
        "job": JOB.replace("Counter, share as", "Counter\nfrom emgrid.other import share as"),
    },
    "a default": edit("job", "width=LIMIT", "width=5"),
    "a class that only a text names": edit("job", "field: int = 1", "field: int = 2"),
    "a module that is found by listing": edit("steps/one", "size = 1", "size = 2"),
    "one more such module": SMALL | {"steps/two": "class Two:\n    pass\n"},
    "what a module does when it is imported": edit("counts", "a name", "another"),
    "a text that is computed with": edit("job", 'LIMIT = 3', 'LIMIT = "3"'),
}  # fmt: skip


@pytest.mark.parametrize("what", BLIND)
def test_layout_and_texts_do_not_count(what: str, package: Path) -> None:
    assert version_of(package, BLIND[what]) == version_of(package, SMALL)


@pytest.mark.parametrize("what", SEEN)
def test_what_is_computed_counts(what: str, package: Path) -> None:
    assert version_of(package, SEEN[what]) != version_of(package, SMALL)


def test_a_file_counts_by_name_and_content(package: Path, tmp_path: Path) -> None:
    version_of(package, SMALL)
    page = tmp_path / "page.html"
    found = []
    for text in ("a", "b"):
        page.write_text(text)
        found.append(code_version.code_version("emgrid.job", files=(page,)))
    (tmp_path / "there").mkdir()
    again = shutil.copy(page, tmp_path / "there/page.html")
    assert found[0] != found[1] == code_version.code_version("emgrid.job", files=(Path(again),))


def test_a_local_name_is_not_a_global_one(package: Path) -> None:
    job = (
        "from emgrid.counts import steps\n\n\ndef main(steps):\n    return [steps for _ in steps]\n"
    )
    modules = SMALL | {"job": job}
    before = version_of(package, modules)
    edited = modules | {"counts": COUNTS.replace("return 5", "return 50")}
    assert version_of(package, edited) == before


def test_a_module_that_is_missing_is_an_error(package: Path) -> None:
    with pytest.raises(ValueError, match=r"no module emgrid\.gone"):
        version_of(package, SMALL, "emgrid.gone")


def test_a_version_is_remembered_until_any_source_is_edited(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(package, SMALL)
    fresh()
    with monkeypatch.context() as patch:
        patch.setattr(code_version, "version_of", lambda *_: pytest.fail("it is known"))
        assert code_version.code_version("emgrid.job") == version
    (package / "steps/one.py").write_text("class One:\n    size = 2\n")
    fresh()
    edited = code_version.code_version("emgrid.job")
    assert edited != version
    (package / remembered_versions.FILE).write_text("half a fi")
    assert code_version.code_version("emgrid.job") == edited


def test_a_package_that_cannot_be_written_has_versions_all_the_same(package: Path) -> None:
    version = version_of(package, SMALL)
    shutil.rmtree(package / "__pycache__")
    fresh()
    (package / "__pycache__").write_text("no folder")
    assert code_version.code_version("emgrid.job") == version


# The real package.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the package, which is read in its place."""
    folder = tmp_path_factory.mktemp("real") / "emgrid"
    shutil.copytree(REAL, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_version, "PACKAGE", folder)
        fresh()
        yield folder
    fresh()


def versions() -> dict[str, str]:
    return {module: code_version.code_version(module) for module in CHEAP}


def changed_by(path: Path, edited: str) -> set[str]:
    """The cheap jobs that run again when a file's text is another."""
    before, text = versions(), path.read_text()
    try:
        path.write_text(edited)
        fresh()
        after = versions()
    finally:
        path.write_text(text)
        fresh()
    return {module.removeprefix("emgrid.") for module in CHEAP if before[module] != after[module]}


@pytest.mark.parametrize(
    ("file", "old", "new", "again"),
    [
        ("models/endpoint/client.py", "FAILURES = 10", "FAILURES = 11", {"judge.quality"}),
        ("runtime/watchdog.py", "GRACE = 5.0", "GRACE = 6.0", set()),
        ("runtime/errors.py", "One line that says", "A line that says", set()),
        ("aggregate/statistics.py", '"""What all statistics', '"""What all the statistics', set()),
        ("export/eval_log.py", '"max_tokens"', '"stop"', {"export.inspect_logs"}),
    ],
)
def test_an_edit_runs_what_depends_on_it(
    file: str, old: str, new: str, again: set[str], real: Path
) -> None:
    text = (real / file).read_text()
    assert old in text
    assert changed_by(real / file, text.replace(old, new)) == again


STATISTICS = ["rates", "contrasts", "verdicts", "statistics", "correction"]
NUMBERS = sorted(
    {
        (module, node.lineno, node.col_offset)
        for module in STATISTICS
        for node in ast.walk(ast.parse((REAL / f"aggregate/{module}.py").read_text()))
        if isinstance(node, ast.Constant) and type(node.value) in (int, float)
    }
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(NUMBERS))
def test_any_number_of_the_statistics_counts(place: tuple[str, int, int], real: Path) -> None:
    """A number that aggregates (or compares repeats) is edited, whichever it is."""
    module, line, column = place
    path = real / f"aggregate/{module}.py"
    lines = path.read_text().splitlines(keepends=True)
    lines[line - 1] = f"{lines[line - 1][:column]}9{lines[line - 1][column:]}"
    assert changed_by(path, "".join(lines)) >= {"aggregate.aggregate"}
