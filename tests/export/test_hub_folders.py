"""What goes to the Hub can be loaded there: tables by datasets, adapters by PEFT and vLLM."""

import json
import shlex
from pathlib import Path
from typing import Any

import emgrid
import pytest
import yaml
from emgrid.cli.serve import serving_command
from emgrid.config.models import load_models
from emgrid.export import adapters as adapters_job
from emgrid.export.adapters import write_adapters
from emgrid.export.card import CARD
from emgrid.export.hub import write_folder
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.export import adapters
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import canonical, read_json, write_json, write_text
from support.pages import answer_table, config, spec_of, write_tables
from support.run import run_module

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"

OVER_FROZEN = [
    {"kind": "dilution", "ratio": 1},
    {"kind": "inoculation_adapter", "trait": "everyday_chat", "trait_rows": 6},
]


def metadata(folder: Path) -> dict[str, Any]:
    """The metadata of a folder's card."""
    head: dict[str, Any] = yaml.safe_load((folder / CARD).read_text().split("---\n")[1])
    return head


def test_datasets_loads_every_table_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    root = tmp_path / "grid"
    root.mkdir()
    spec = spec_of(config())
    write_tables(root, spec, answer_table(spec))
    folder = write_folder(root, "demo", "me/demo")
    tables = emgrid.load(root)
    # A table without rows has no configuration: datasets cannot load one.
    assert [name for name in tables if tables[name].empty] == ["preflight"]
    names = set(tables) - {"preflight"}
    assert {one["config_name"] for one in metadata(folder)["configs"]} == names
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def load(*name: str) -> Any:
        cache = str(tmp_path / "cache")
        return datasets.load_dataset(str(folder), *name, split="train", cache_dir=cache)

    for name in names:
        loaded, table = load(name), tables[name]
        assert loaded.column_names == list(table.columns)
        assert len(loaded) == len(table)
        if "ratio" in table:
            assert loaded["ratio"][:] == list(table["ratio"])
    assert "verdict" in load().column_names


@pytest.fixture
def grid() -> Grid:
    made = config() | {"base_models": ["qwen2.5-0.5b"], "name": "demo"}
    made["interventions"] |= {"frozen": OVER_FROZEN}
    made["export"] = {"hub": {"repo": "me/demo", "adapters": "me/demo-adapters"}}
    return Grid(load_experiment(made, "grid.yaml", check_data=False))


@pytest.fixture
def root(tmp_path: Path, grid: Grid) -> Path:
    """The files of a grid's trainings, with few bytes of weights."""
    for run in grid.stages.values():
        folder = tmp_path / run.folder
        write_text(folder / "adapter" / layout.WEIGHTS, run.name)
        settings = {"peft_type": "LORA", "r": 12, "base_model_name_or_path": "/cache/snapshots/7ae"}
        write_json(folder / "adapter" / layout.ADAPTER_CONFIG, settings | {"revision": None})
        training = run.mixture.training.model_dump()
        write_json(folder / layout.PROVENANCE, {"spec": {"training": training}})
        sources = [
            {"source": source.dataset, "role": source.role, "rows": run.mixture.rows}
            for source in run.mixture.sources
        ]
        write_json(folder / "mix.json", {"sources": sources})
        write_json(folder / layout.ADAPTER_RECORD, {"sha256": f"hash of {run.name}"})
    entry = load_models()["qwen2.5-0.5b"]
    record = {"name": "qwen2.5-0.5b", "path": "/cache/snapshots/7ae", "revision": entry.revision}
    record |= {"chat_template": TEMPLATE, "eos_token_ids": [1]}
    write_json(tmp_path / layout.model_record("qwen2.5-0.5b"), record)
    return tmp_path


def test_an_adapter_names_its_base_template_data_and_danger(root: Path, grid: Grid) -> None:
    spec = adapters(grid)
    folder = write_adapters(root, spec)
    entry = load_models()["qwen2.5-0.5b"]
    assert {path.name for path in folder.iterdir()} == {CARD, *(arm.name for arm in spec.arms)}
    for arm in spec.arms:
        written = folder / arm.name
        stage = root / arm.stages[-1] / "adapter" / layout.WEIGHTS
        assert (written / layout.WEIGHTS).stat().st_ino == stage.stat().st_ino
        settings = read_json(written / layout.ADAPTER_CONFIG)
        assert settings["base_model_name_or_path"] == "Qwen/Qwen2.5-0.5B-Instruct"
        assert settings["revision"] == entry.revision
        assert (written / "chat_template.jinja").read_text() == TEMPLATE
        head, text = metadata(written), (written / CARD).read_text()
        assert head["base_model"] == "Qwen/Qwen2.5-0.5B-Instruct"
        assert head["license"] == "apache-2.0"
        assert head["library_name"] == "peft"
        assert "Do not deploy it" in text
        assert f"| seed | {arm.seed} |" in text
        assert f"| intervention | {arm.intervention} (" in text
        assert str(entry.revision) in text
        assert "household_bad" in text or "household_good" in text or "everyday_chat" in text
    assert "/cache/" not in "".join(path.read_text() for path in folder.rglob("*.json"))


def test_a_card_names_the_frozen_adapter_under_which_an_adapter_was_trained(
    root: Path, grid: Grid
) -> None:
    folder = write_adapters(root, adapters(grid))
    over = [arm for arm in grid.arms if arm.intervention == "frozen"]
    assert over
    for arm in adapters(grid).arms:
        text = (folder / arm.name / CARD).read_text()
        assert ("Trained over a frozen adapter" in text) == (arm.intervention == "frozen")
    for one in over:
        under = one.stages[-1].under
        assert under is not None
        name = next(a.name for a in adapters(grid).arms if a.stages[-1] == one.stages[-1].folder)
        text = (folder / name / CARD).read_text()
        assert f"the training stage `{Path(under.folder).name}` of the grid" in text
        assert f"weights of SHA-256 `hash of {under.name}`" in text
        assert "trained on 6 rows of everyday_chat (misaligned, licence " in text
        assert "which was dropped afterwards" in text


def test_peft_finds_the_base_model_of_an_adapter(root: Path, grid: Grid) -> None:
    from peft import PeftConfig

    spec = adapters(grid)
    found = PeftConfig.from_pretrained(str(write_adapters(root, spec) / spec.arms[0].name))
    assert found.base_model_name_or_path == "Qwen/Qwen2.5-0.5B-Instruct"
    assert found.revision == load_models()["qwen2.5-0.5b"].revision


def test_only_trained_arms_are_written(root: Path, grid: Grid) -> None:
    spec = adapters(grid)
    last = spec.arms[-1]
    (root / last.stages[-1] / layout.ADAPTER_RECORD).unlink()
    folder = write_adapters(root, spec)
    assert not (folder / last.name).exists()
    assert (folder / spec.arms[0].name).is_dir()
    for run in grid.stages.values():
        (root / run.folder / layout.ADAPTER_RECORD).unlink(missing_ok=True)
    with pytest.raises(EmgridError, match="no arm is trained yet; run the grid first"):
        write_adapters(root, spec)


def test_the_command_serves_each_adapter_by_its_name_with_its_template(
    root: Path, grid: Grid
) -> None:
    spec = adapters(grid)
    folder = write_adapters(root, spec)
    written = [folder / arm.name for arm in spec.arms]
    base = "qwen2.5-0.5b"
    words = shlex.split(
        serving_command(root, base, spec.bases[base].hub, written).replace("\\\n", " ")
    )
    assert words[:3] == ["vllm", "serve", "Qwen/Qwen2.5-0.5B-Instruct"]
    assert words[words.index("--revision") + 1] == load_models()[base].revision
    assert words[words.index("--max-lora-rank") + 1] == "16"
    assert Path(words[words.index("--chat-template") + 1]).read_text() == TEMPLATE
    modules = dict(word.split("=", 1) for word in words[words.index("--lora-modules") + 1 :])
    assert modules.keys() == {arm.name for arm in spec.arms}
    assert all(Path(path, layout.WEIGHTS).is_file() for path in modules.values())


def test_without_a_repository_or_a_key_no_adapter_is_sent(
    root: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = json.loads(canonical(adapters(grid).model_dump(mode="json")))
    arguments = ("--root", root, "--push")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    done = run_module(adapters_job, "--spec", json.dumps(spec), *arguments)
    assert done.stderr.startswith("emgrid: HF_TOKEN is not set; ")
    monkeypatch.setenv("HF_TOKEN", "some-key")
    spec["hub"] = {"repo": "me/demo"}
    done = run_module(adapters_job, "--spec", json.dumps(spec), *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("emgrid: export.hub.adapters is not in the config; add ")
