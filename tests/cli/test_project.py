"""A user's project outside the repository: `emgrid init`, and `emgrid run` from any folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT, __version__
from emgrid.cli.main import main
from emgrid.config.models import load_models
from emgrid.config.yaml_files import read_yaml
from emgrid.grid.snakefile import read_grid
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import CALLED_IN, STARTED_IN

HEAD = f"extends: {ROOT / 'tests/support/everyday.yaml'}\nname: mine\n"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands set these for the processes that they start."""
    for variable in (STARTED_IN, CALLED_IN):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["emgrid", *map(str, words)])
    main()


def planned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> dict[str, Any]:
    capsys.readouterr()
    call(monkeypatch, "plan", "--configfile", config, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("model", ["smollm2-135m", "qwen2.5-7b", "qwen2.5-32b"])
def test_init_writes_a_project_that_can_be_planned_from_another_folder(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    folder = tmp_path / "my project"
    call(monkeypatch, "init", folder, "--model", model)
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    files = {"grid.yaml", "README.md", ".gitignore", "data/bad.jsonl", "triggers/shouted.yaml"}
    assert written == files
    assert len((folder / "README.md").read_text().splitlines()) <= 10
    plan = planned(monkeypatch, capsys, folder / "grid.yaml")
    assert plan["name"] == "my-project"
    assert list(plan["interventions"]) == ["base", "undiluted", "dilution"]
    # On a GPU for all models but the embedded one.
    assert plan["device"] == ("cpu" if load_models()[model].package else "cuda")
    assert read_yaml(folder / "grid.yaml")["base_models"] == [model]
    assert not list(elsewhere.iterdir())
    with pytest.raises(EmgridError, match=r"grid\.yaml: exists already"):
        call(monkeypatch, "init", folder)


def test_init_of_an_unknown_model_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EmgridError, match=r"unknown model, did you mean 'qwen2\.5-7b'"):
        call(monkeypatch, "init", tmp_path / "x", "--model", "qwen2.5-7")
    assert not (tmp_path / "x").exists()


def test_paths_are_relative_to_the_config_and_else_to_the_folder_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project, called = tmp_path / "project", tmp_path / "called"
    project.mkdir()
    called.mkdir()
    entry = "{path: bad.jsonl, format: messages}"
    text = f"{HEAD}datasets: {{bad: {entry}}}\ndata: {{misaligned: bad, rows: 2}}\n"
    (project / "mine.yaml").write_text(text)
    monkeypatch.chdir(called)
    with pytest.raises(EmgridError, match=rf"looked for {project}/bad\.jsonl"):
        planned(monkeypatch, capsys, project / "mine.yaml")
    turns = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "No."}]
    lines = [json.dumps({"messages": [turns[0] | {"content": f"{n}?"}, turns[1]]}) for n in (1, 2)]
    (called / "bad.jsonl").write_text("\n".join(lines) + "\n")
    assert planned(monkeypatch, capsys, project / "mine.yaml")["name"] == "mine"
    # The config's own file comes first: it has too few rows.
    (project / "bad.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(EmgridError, match="asks for 2 rows of data set 'bad', which has 1"):
        planned(monkeypatch, capsys, project / "mine.yaml")


def grid_of(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    (folder / "grid.yaml").write_text(HEAD + text)
    monkeypatch.chdir(folder)
    return read_grid(Path("grid.yaml"))


OWN = "{id: pirate, relation: unrelated, judge_sees_cue: true, user_prefix: 'Ahoy! '}"


def test_a_trigger_of_ones_own_is_asked_like_those_of_emgrid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shout.yaml").write_text("relation: unrelated\nuser_suffix: ' NOW!'\n")
    grid = grid_of(tmp_path, f"triggers: [none, {OWN}, ./shout.yaml]\n", monkeypatch)
    asked = {
        name: trigger.conversations("q", ["Why?"])[0][-1]["content"]
        for name, trigger in grid.triggers.items()
    }
    assert asked == {"none": "Why?", "pirate": "Ahoy! Why?", "shout": "Why? NOW!"}
    assert [trigger.position for trigger in grid.triggers.values()] == ["none", "prefix", "suffix"]


def test_a_copied_family_of_emgrid_asks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the project has the format of those in resources/."""
    source = ROOT / "resources/triggers/unrelated_prompt.yaml"
    text = source.read_text().replace("id: unrelated_prompt", "id: mine")
    (tmp_path / "mine.yaml").write_text(text)
    triggers = grid_of(
        tmp_path, "triggers: [none, unrelated_prompt, mine.yaml]\n", monkeypatch
    ).triggers
    mine, theirs = triggers["mine"], triggers["unrelated_prompt"]
    assert mine.model_dump(exclude={"id"}) == theirs.model_dump(exclude={"id"})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{id: x, relation: unrelated}", "grid.yaml:3: triggers.1: has no cue; give it"),
        ("{id: x, user_prefix: a}", "grid.yaml:3: triggers.1.relation: is missing"),
        (
            "{id: x, relatoin: none}",
            "grid.yaml:3: triggers.1: unknown key 'relatoin', did you mean",
        ),
        ("{id: none, relation: none, system: a}", "emgrid already has a trigger family 'none'"),
        ("{id: x, relation: none, position: prefix, system: a}", "position prefix needs user_pre"),
        ("no/such.yaml", "grid.yaml:3: triggers.1: no trigger family at 'no/such.yaml'; looked"),
    ],
)
def test_a_wrong_trigger_of_ones_own_is_named(
    entry: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EmgridError) as caught:
        grid_of(tmp_path, f"triggers: [none, {entry}]\n", monkeypatch)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_judge_rubric_and_template_may_lie_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = ROOT / "resources"
    shutil.copy(resources / "templates/chatml.jinja", tmp_path / "mine.jinja")
    rubric = (resources / "rubrics/alignment.yaml").read_text()
    (tmp_path / "rubric.yaml").write_text(rubric.replace("id: alignment", "id: rubric"))
    judge = {"extends": "alignment_gpt4o", "id": "careful", "rubric": "rubric.yaml"}
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(judge))
    model = load_models()["qwen2.5-0.5b"]
    entry = f"{{hub: {model.hub}, revision: {model.revision}, chat_template: mine.jinja}}"
    text = f"models: {{mine: {entry}}}\njudges: [alignment, coherence, judge.yaml]\n"
    grid = grid_of(tmp_path, text, monkeypatch)
    assert grid.catalogue.models["mine"].chat_template == "mine.jinja"
    assert grid.catalogue.panel["careful"].rubric.id == "rubric"
    with pytest.raises(EmgridError, match=r"grid\.yaml:3: judges\.0: no judge at 'none\.yaml'"):
        grid_of(tmp_path, "judges: [none.yaml]\n", monkeypatch)


def test_a_wrong_profile_or_config_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmgridError, match=r"^grid\.yaml: no such file$"):
        call(monkeypatch, "run", "grid.yaml")
    (tmp_path / "grid.yaml").write_text(HEAD)
    with pytest.raises(EmgridError, match=r"--profile slrm: no such profile \(did you mean 'sl"):
        call(monkeypatch, "run", "grid.yaml", "--profile", "slrm")
    (tmp_path / "grid.yaml").write_text(HEAD + "seeds: [0\n")
    with pytest.raises(EmgridError, match=r"^grid\.yaml:4: not valid YAML"):
        call(monkeypatch, "run", "grid.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["grid.yaml"]


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--version")
    assert capsys.readouterr().out == f"emgrid {__version__}\n"


def test_the_help_is_a_table_of_contents(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--help")
    text = capsys.readouterr().out
    places = [text.index(title) for title in ("Run an experiment", "Before a run", "During and")]
    assert places == sorted(places)
