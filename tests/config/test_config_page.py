"""What a key of the config means is said once, under its field, and reaches editors and docs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from emgrid import ROOT
from emgrid.cli.config_page import anchor
from emgrid.config.base import Strict
from emgrid.config.json_schema import schema
from emgrid.config.sections import Training

PAGE = ROOT / "docs/config.md"
LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)")


def written_by(module: str) -> str:
    """What a module prints that writes a file of the repository."""
    command = [sys.executable, "-m", module]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("emgrid.config.json_schema", "workflow/schemas/config.schema.json"),
        ("emgrid.cli.config_page", "docs/config.md"),
    ],
)
def test_a_generated_file_is_current(module: str, file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text == written_by(module), f"run python -m {module} > {file}"


def keys() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Section, name and schema of every key that a config can have."""
    whole = schema()
    for section, part in {"Config": whole, **whole["$defs"]}.items():
        for key, node in part["properties"].items():
            yield section, key, node


def test_every_key_is_described_in_whole_sentences() -> None:
    for section, key, node in keys():
        text = node.get("description", "")
        assert re.fullmatch(r"[A-Z`\d].*[^.]\.", text), f"{section}.{key}: {text!r}"
        assert "  " not in text, f"{section}.{key}"


def sections_below(section: type) -> Iterator[type]:
    yield section
    for below in section.__subclasses__():
        yield from sections_below(below)


def test_keys_share_a_description_only_if_they_are_one_field() -> None:
    sections = {section.__name__: section for section in sections_below(Strict)}
    places: dict[str, list[tuple[str, str]]] = {}
    for name, key, node in keys():
        # `extends` of judges is a key of files; Intervention repeats the keys of its steps.
        if key != "extends" and name != "Intervention":
            places.setdefault(node["description"], []).append((name, key))
    for text, headings in places.items():
        bases = set.intersection(*(set(sections[name].__mro__) for name, _ in headings))
        key = headings[0][1]
        inherited = any(key in getattr(base, "model_fields", {}) for base in bases)
        assert inherited, f"{headings}: {text}"
        assert {other for _, other in headings} == {key}, f"{headings}: {text}"


def test_an_editor_finds_the_schema_by_the_first_line_of_the_config() -> None:
    config = ROOT / "config.yaml"
    text = config.read_text(encoding="utf-8")
    match = LINE.match(text)
    assert match
    read = json.loads((config.parent / match[1]).read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(text), read)
    rank = read["$defs"]["Training"]["properties"]["rank"]
    assert rank["description"] == "Rank of the adapter's matrices."
    assert rank["default"] == Training().rank
    assert LINE.search(PAGE.read_text(encoding="utf-8"))


def test_an_intervention_says_what_a_key_means_for_each_kind() -> None:
    entry = schema()["$defs"]["Intervention"]["properties"]
    assert (
        "`irrelevant_prompt`: Trigger family whose system prompt" in entry["prompt"]["description"]
    )
    assert "`off_policy`: Trigger family whose system prompt" in entry["prompt"]["description"]
    assert "default" not in entry["rows"]  # all of one kind, misaligned of another


def test_the_page_has_every_key_and_its_links_lead_somewhere() -> None:
    text = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert len(headings) == len(set(headings))
    anchors = {anchor(heading) for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors
    top = schema()["properties"]
    assert [heading.strip("`") for heading in headings if heading.strip("`") in top] == list(top)
    for section, key, _ in keys():
        if section != "Config":
            assert f"- **`{key}`**: " in text, f"{section}.{key}"
    assert max(map(len, text.splitlines())) <= 100
