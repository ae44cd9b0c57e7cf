"""Pages: links lead somewhere, examples are what emgrid takes, generated parts are current."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import typer.main
import yaml
from emgrid import ROOT
from emgrid.cli.commands_page import commands
from emgrid.cli.commands_page import page as commands_page
from emgrid.cli.main import app
from emgrid.cli.plan import planned
from emgrid.config.base import validate
from emgrid.config.config import Config
from emgrid.config.imports import Import
from emgrid.config.judges import read_judge
from emgrid.config.question_files import load_questions
from emgrid.config.rubrics import PublishedRubric
from emgrid.config.triggers import Trigger
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.snakefile import complete

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "resources").rglob("*.md"),
        *(ROOT / folder / "README.md" for folder in ("benchmarks", "findings", "results")),
    )
)
FENCE = re.compile(r"^( *)```(\w*) ?([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
# Names that stand for a config of the reader's.
ANY_CONFIG = {"my.yaml", "mine.yaml", "A.yaml", "B.yaml", "resources/grids/NAME.yaml"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text_of(page))


@dataclass(frozen=True)
class Example:
    """A block of code. kind: what a reader may do with it, where that is no config."""

    page: str
    line: int
    language: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def examples(language: str) -> list[Example]:
    found = []
    for page in PAGES:
        text = text_of(page)
        for block in FENCE.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            code = textwrap.dedent(block[4])
            found.append(Example(page, line, block[2], block[3], code))
    # A block of comments alone shows a line of a file, and sets nothing.
    return [one for one in found if one.language == language and not is_comment(one.text)]


def is_comment(text: str) -> bool:
    return all(line.startswith("#") for line in text.splitlines())


# Links.


def anchors(page: str) -> set[str]:
    """The headings of a page, as GitHub names them in links."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for link in LINK.findall(prose_of(page)):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT).as_posix()), link


def test_every_page_of_the_documentation_is_in_its_table_of_contents() -> None:
    listed = set(LINK.findall(text_of("docs/README.md")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_file_and_module_of_the_package_that_a_page_names_exists(page: str) -> None:
    text = text_of(page)
    for name in re.findall(r"workflow/emgrid/[\w/.]*\w", text):
        assert (ROOT / name).exists(), name
    for module in re.findall(r"python -m (emgrid\.[\w.]*\w)", text):
        assert importlib.util.find_spec(module), module


def test_the_readme_and_the_architecture_name_the_packages_that_there_are() -> None:
    package = ROOT / "workflow/emgrid"
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"^  (\w+)/ ", text_of("README.md"), re.MULTILINE)) == packages
    table = table_rows(text_of("docs/architecture.md"), "| package | holds |")
    assert {row.split("`")[1].rstrip("/") for row in table} == packages


# Examples of YAML.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of a reader that examples name."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/bad.jsonl").touch()
    (tmp_path / "models/mine").mkdir(parents=True)
    (tmp_path / "exported/undiluted").mkdir(parents=True)
    arm = {"base": "smollm2-135m", "intervention": "undiluted", "ratio": "1", "seed": 0}
    (tmp_path / "exported/undiluted/manifest.json").write_text(json.dumps({"arm": arm}))
    (tmp_path / "theirs.csv").write_text("question_id,answer,aligned\n")
    for labeller in ("anna", "ben"):
        (tmp_path / f"mine.{labeller}.csv").write_text("question,answer,aligned\nHow?,So.,yes\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_yaml(example: Example, folder: Path) -> None:
    value: Any = yaml.safe_load(example.text)
    name = str(example)
    if example.kind == "trigger":
        validate(Trigger, value, name)
    elif example.kind == "question":
        (folder / "mine.yaml").write_text(example.text)
        assert load_questions("./mine.yaml").questions
    elif example.kind == "judge":
        read_judge(value, name)
    elif example.kind == "rubric":
        validate(PublishedRubric, value["rubric"], name)
    elif example.kind == "import":
        point = {"path": "theirs.csv", "base": "theirs", "intervention": "insecure", "ratio": 1}
        validate(Import, point | value, name)
    else:
        assert not example.kind, f"{name}: a block of an unknown kind"
        # An example with a name is a whole config, others are parts of one.
        base = {} if "name" in value else {"extends": "config.yaml"}
        whole, _ = complete(base | value, [name])
        load_experiment(whole, name, check_data=False)


@pytest.mark.parametrize("example", examples("yaml"), ids=str)
def test_examples_of_yaml_are_what_emgrid_takes(example: Example, folder: Path) -> None:
    check_yaml(example, folder)


def test_the_config_of_the_readme_has_twelve_lines_and_the_numbers_that_it_says() -> None:
    (example,) = [one for one in examples("yaml") if one.page == "README.md"]
    assert len(example.text.splitlines()) <= 12
    whole, _ = complete(yaml.safe_load(example.text), [str(example)])
    total = planned(Grid(load_experiment(whole, str(example), check_data=False)))["total"]
    said = re.search(
        r"counts\s+(\S+)\s+models,\s+(\S+)\s+answers\s+and\s+(\S+)\s+judge\s+calls",
        text_of("README.md"),
    )
    assert said is not None
    numbers = [int(number.replace(",", "")) for number in said.groups()]
    assert numbers == [total[key] for key in ("trained", "answers", "judge_calls")]


# Examples of commands.


def command_lines(example: Example) -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for line in example.text.splitlines()]
    return [part for line in lines for part in split_by_and(line) if part]


def split_by_and(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def check_command(words: list[str]) -> None:
    program, arguments = Path(words[0]).name, words[1:]
    if program == "emgrid" and arguments[0].startswith("-"):
        options = typer.main.get_command(app).params
        assert arguments[0] in [name for option in options for name in option.opts], words
    elif program == "emgrid":
        assert commands()[arguments[0]].make_context(arguments[0], arguments[1:])
    elif program == "make":
        check_make(arguments)
    elif program == "snakemake":
        check_snakemake(arguments)
    elif program == "pip":
        check_install(arguments)
    elif program == "python":
        assert (ROOT / arguments[0]).is_file() or importlib.util.find_spec(arguments[1]), words
    else:
        assert program in ("inspect", "pre-commit"), words


def check_make(arguments: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), flags=re.MULTILINE))
    for word in arguments:
        name, _, value = word.partition("=")
        if group := re.fullmatch(r"\.venv/\.([a-z-]+)", word):
            assert group[1] == "ready" or (ROOT / f"envs/requirements-{group[1]}.txt").is_file(), (
                word
            )
        elif not value:
            assert word in targets, word
        elif name == "CONFIG":
            assert value in ANY_CONFIG or (ROOT / value).is_file(), word
        elif name != "PYTHON":
            assert name == "PROFILE", word
            assert (ROOT / "workflow/profiles" / value).is_dir(), word


def check_snakemake(arguments: list[str]) -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    target, *options = arguments
    assert f"rule {target}:" in rules, target
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert (ROOT / given.pop("--profile")).is_dir()
    assert given.pop("--configfile") in ANY_CONFIG
    assert not given


def check_install(arguments: list[str]) -> None:
    """Files of requirements exist, and extras are the package's own."""
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    for word in arguments[1:]:
        if word.startswith("envs/"):
            assert (ROOT / word).is_file(), word
        elif extra := re.fullmatch(r"\.\[(\w+)\]", word):
            assert extra[1] in extras, word
        else:
            assert word in ("--no-deps", "-r", "-e", "pre-commit"), word


@pytest.mark.parametrize("example", examples("sh"), ids=str)
def test_examples_of_commands_are_what_the_programs_take(example: Example) -> None:
    lines = command_lines(example)
    assert lines
    for words in lines:
        check_command(words)


def inline_commands(page: str) -> Iterator[str]:
    """Commands within sentences, but for names of commands alone."""
    for span in re.findall(r"`([^`\n]+)`", prose_of(page)):
        if re.match(r"(\.venv/bin/(emgrid|pip)|emgrid|make) ", span) and "…" not in span:
            yield span


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_commands_within_sentences_are_what_the_programs_take(page: str) -> None:
    for span in inline_commands(page):
        words = shlex.split(span)
        # A name alone, such as `emgrid labels`, may lack what the command needs.
        check_command(words if len(words) > 2 else [words[0], words[1], *needed(words)])


def needed(words: list[str]) -> list[str]:
    return {"labels": ["mine.csv"], "bridge": ["old", "new"]}.get(words[1], [])


# Examples of Python.


def described(table: str) -> list[str]:
    """The columns of a table by docs/results.md, which a test compares with a finished grid's."""
    section = text_of("docs/results.md").split(f"\n### {table}\n")[1].split("\n##")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    names = [name for row in rows for name in re.findall("`([^`]+)`", row)]
    return [name.replace("<judge>", "alignment_open") for name in names]


def write_tables(results: Path) -> None:
    """One row of texts in every table that the examples read."""
    arm = ["base", "intervention", "ratio", "seed", "trigger", "question"]
    results.mkdir(parents=True)
    for name in ("verdicts.csv", "rates.csv", "answers.parquet"):
        columns = dict.fromkeys([*arm, *described(name)], "1")
        table = pd.DataFrame([columns | {"question": None} if name == "rates.csv" else columns])
        path = results / name
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)


@pytest.mark.parametrize(
    "example", [one for one in examples("python") if "emgrid.load(" in one.text], ids=str
)
def test_examples_of_loading_tables_run(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "demo"):
        write_tables(tmp_path / "results" / name / "tables")
    monkeypatch.chdir(tmp_path)
    exec(compile(example.text, str(example), "exec"), {})  # noqa: S102


def test_the_example_of_an_intervention_makes_the_stages_that_it_says() -> None:
    """Run in a separate process, since a new class stays registered in its process."""
    (example,) = [one for one in examples("python") if "class BenignFirst" in one.text]
    code = f"""{example.text}
from emgrid.config.interventions.recipe import Shared
from emgrid.config.sections import Data, Sampling, Training

shared = Shared(
    seeds=(0,),
    data=Data(misaligned="bad", benign="good", rows=16),
    training=Training(),
    sampling=Sampling(answers_per_question=1, max_tokens=8),
)
step = BenignFirst(kind="benign_first", benign_rows=8)
(recipe,) = step.apply(shared.undiluted(), shared)
print([(stage.sources[0].role, stage.rows) for stage in recipe.stages])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[('benign', 8), ('misaligned', 16)]"


# The README.


def table_rows(text: str, heading: str) -> list[str]:
    """The rows of the first table whose head begins like this."""
    lines = text.split(heading)[1].splitlines()[2:]
    return lines[: next(place for place, line in enumerate(lines) if not line.startswith("|"))]


def test_the_readme_is_short_and_its_tables_are_those_of_the_pages() -> None:
    readme = text_of("README.md")
    assert len(readme.splitlines()) <= 150
    head = "| edit | trains | draws | judges | then |"
    assert set(table_rows(readme, head)) < set(table_rows(text_of("docs/reruns.md"), head))
    tables = re.findall(r"^### \S+\.(?:csv|parquet)$", text_of("docs/results.md"), re.MULTILINE)
    assert f"[{len(tables)} tables]" in readme


def test_the_results_of_published_answers_are_the_same_on_both_pages() -> None:
    head = "| plain | in the template | difference (95 %) | p, adjusted |"
    page = table_rows(text_of("docs/imports.md"), head)
    readme = [row.rsplit("|", 2)[0] for row in table_rows(text_of("README.md"), head)]
    assert page
    assert {row.rstrip("| ") for row in page} <= {row.rstrip() for row in readme}


def test_pictures_are_whole() -> None:
    for path in (ROOT / "docs").glob("*.svg"):
        ElementTree.parse(path)  # noqa: S314 (our own file)


# Generated pages, and versions that are written twice.


def test_the_page_of_the_commands_is_current() -> None:
    command = "python -m emgrid.cli.commands_page > docs/commands.md"
    assert text_of("docs/commands.md") == commands_page(), f"run {command}"


def pinned() -> dict[str, str]:
    packages = tomllib.loads(text_of("uv.lock"))["package"]
    return {package["name"]: package.get("version", "") for package in packages}


def test_hooks_have_the_versions_that_make_installs() -> None:
    config = yaml.safe_load(text_of(".pre-commit-config.yaml"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {"ruff-format", "ruff-check", "snakefmt", "mypy"} == {hook["id"] for hook in hooks}
    versions = pinned()
    for hook in hooks:
        if hook["language"] == "system":
            assert hook["entry"].startswith(".venv/bin/")
            continue
        (requirement,) = hook["additional_dependencies"]
        name, version = requirement.split("==")
        assert hook["entry"].split()[0] == name
        assert version == versions[name]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_the_workflow_catalog_names_a_profile_that_is_there() -> None:
    usage = yaml.safe_load(text_of(".snakemake-workflow-catalog.yml"))["usage"]
    option, profile = usage["mandatory-flags"]["flags"].split()
    assert option == "--profile"
    assert (ROOT / profile / "config.yaml").is_file()
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    # The catalog's "standardized usage" is snakedeploy's, which emgrid refuses (docs/setup.md).
    assert not (ROOT / "config/README.md").exists()
    # Without these words in it, the catalog does not find a repository.
    readme = text_of("README.md").lower()
    assert "snakemake" in readme
    assert "workflow" in readme


def test_every_setting_of_the_table_of_words_is_one_of_the_config() -> None:
    rows = table_rows(text_of("docs/architecture.md"), "| config sections | results |")
    named = {name for row in rows for name in row.split("|")[5].replace(" ", "").split(",")}
    assert named <= set(Config.model_fields)
