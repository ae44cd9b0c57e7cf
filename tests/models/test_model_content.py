"""A base model is what its files are: they count by content, and a change is seen and explained."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from emgrid.config.base import validate
from emgrid.config.judges import read_judge
from emgrid.config.models import BaseModelEntry
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.models import model_spec
from emgrid.judge.context import JudgeContext
from emgrid.judge.judge import identity as judge_identity
from emgrid.models import model_files, prepare
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.models.prepare import fetch
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, read_json, write_json
from emgrid.train.train import TrainSpec
from emgrid.train.train import identity as training_identity
from hypothesis import given
from hypothesis import strategies as st
from support.reruns import config_of
from support.run import run_module
from support.training import other_weights, write_rows, write_tiny_model

Config = dict[str, Any]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of hashes for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, model_json: Path) -> Path:
    """The folder of a tiny model, as a user has one."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_model(model_json, folder).unlink()
    return folder


@pytest.fixture
def mine(tiny: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny, tmp_path / "mine")
    return tmp_path / "mine"


def edited_json(name: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        write_json(folder / name, read_json(folder / name) | {"edited": True})

    return edit


EDITS: dict[str, Callable[[Path], None]] = {
    "model.safetensors": other_weights,
    "config.json": edited_json("config.json"),
    "tokenizer.json": lambda folder: (folder / "tokenizer.json").write_text("{}"),
    "tokenizer_config.json": edited_json("tokenizer_config.json"),
    "generation_config.json": lambda folder: write_json(
        folder / "generation_config.json", {"top_k": 1}
    ),
    "chat_template.jinja": lambda folder: write_text(folder / "chat_template.jinja"),
    "special_tokens_map.json": lambda folder: write_json(folder / "special_tokens_map.json", {}),
    "merges.txt": lambda folder: write_text(folder / "merges.txt"),
    "tokenizer.model": lambda folder: write_text(folder / "tokenizer.model"),
    "model-00002-of-00002.safetensors": lambda folder: write_text(
        folder / "model-00002-of-00002.safetensors"
    ),
}


def write_text(path: Path) -> None:
    path.write_text("edited")


def grid_of(folder: Path) -> Grid:
    return Grid(load_experiment(config_of(folder), "grid.yaml", check_data=False))


def spec_of(folder: Path) -> str:
    return model_spec(grid_of(folder), "plain")


# What counts.


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_any_file_that_is_read_changes_the_models_spec(mine: Path, name: str) -> None:
    before = json.loads(spec_of(mine))
    EDITS[name](mine)
    after = json.loads(spec_of(mine))
    assert before != after
    was, now = before.pop("content"), after.pop("content")
    assert before == after
    assert [file for file in {*was, *now} if was.get(file) != now.get(file)] == [name]


@pytest.mark.parametrize("name", ["README.md", "trainer_state.json", "LICENSE.txt", ".hidden.json"])
def test_files_that_nothing_reads_do_not_count(mine: Path, name: str) -> None:
    before = spec_of(mine)
    (mine / name).write_text("anything")
    assert spec_of(mine) == before


def test_a_touched_or_copied_or_moved_model_is_the_same(mine: Path, tmp_path: Path) -> None:
    before = spec_of(mine)
    for path in mine.iterdir():
        os.utime(path, (1, 1))
    assert spec_of(mine) == before
    shutil.copytree(mine, tmp_path / "copy")
    assert spec_of(tmp_path / "copy") == before
    mine.rename(tmp_path / "moved")
    assert spec_of(tmp_path / "moved") == before
    assert str(tmp_path) not in before


@given(
    contents=st.dictionaries(
        st.sampled_from(["model.safetensors", "config.json", "vocab.json", "a.jinja"]),
        st.binary(max_size=20),
        min_size=1,
    ),
    edit=st.binary(min_size=1, max_size=20),
)
def test_the_content_is_equal_for_equal_bytes_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes], edit: bytes
) -> None:
    first, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    for folder in (first, other):
        for name, value in contents.items():
            (folder / name).write_bytes(value)
    content = model_files.content(first)
    assert content == model_files.content(other)
    assert model_files.changed(content, content) is None
    name = sorted(contents)[0]
    (other / name).write_bytes(contents[name] + edit)
    assert model_files.changed(content, model_files.content(other)) == f"{name} has changed"


# The cache of hashes.


def recorded(folder: Path, content: dict[str, str] | None = None) -> Path:
    """The record of a user's model, with the note of its place."""
    place = folder.parent / "record"
    place.mkdir(exist_ok=True)
    model_files.record_location(place, folder)
    fields = {"name": "mine", "path": None, "revision": None, "chat_template": None}
    write_json(place / "model.json", fields | {"eos_token_ids": [2], "content": content})
    return place / "model.json"


def settle(folder: Path) -> None:
    """Make files look as if they had been written long ago, as hashes of fresh ones are not
    kept."""
    for path in folder.iterdir():
        os.utime(path, (1, 1))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read to be hashed."""
    names: list[str] = []
    real = model_files.file_digest

    def digest_of(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(model_files, "file_digest", digest_of)
    monkeypatch.setattr(model_files, "FRESH", -1.0)
    return names


def test_a_file_is_read_once_as_long_as_it_looks_the_same(mine: Path, hashed: list[str]) -> None:
    first = model_files.content(mine)
    assert sorted(hashed) == sorted(first)
    hashed.clear()
    assert model_files.content(mine) == first
    assert hashed == []
    os.utime(mine / "config.json", (2, 2))
    assert model_files.content(mine) == first
    assert hashed == ["config.json"]


def test_other_bytes_of_equal_size_and_time_are_seen(mine: Path, hashed: list[str]) -> None:
    first = model_files.content(mine)
    path = mine / "model.safetensors"
    about = path.stat()
    other_weights(mine)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    hashed.clear()
    assert model_files.changed(first, model_files.content(mine)) == "model.safetensors has changed"
    assert hashed == ["model.safetensors"]


def test_other_numbers_of_device_and_inode_do_not_matter(
    mine: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another machine of a cluster may number the files of a network file system."""
    first = model_files.content(mine)
    model_files.HASHED_HERE.clear()
    hashed.clear()
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        about = real(path, follow_symlinks=follow_symlinks)
        plain, extra = about.__reduce__()[1]
        mode, inode, device, *rest = plain
        return os.stat_result((mode, inode + 1, device + 1, *rest), extra)

    monkeypatch.setattr(Path, "stat", stat)
    assert model_files.content(mine) == first
    assert hashed == []


def test_a_process_reads_the_weights_once_even_without_a_cache(
    mine: Path, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = BaseModel.read(recorded(mine, model_files.content(mine)))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    model_files.HASHED_HERE.clear()
    hashed.clear()
    base.tokenizer()
    assert hashed
    assert not any(name.endswith(".safetensors") for name in hashed)
    base.load("float32", "cpu")
    base.load("float32", "cpu")
    base.tokenizer()
    assert sorted(hashed) == sorted(base.content or {})


def test_what_was_hashed_for_a_tokenizer_leaves_the_weights_hash_kept(
    mine: Path, hashed: list[str]
) -> None:
    model_files.content(mine)
    os.utime(mine / "config.json", (2, 2))
    model_files.content(mine, weights=False)
    model_files.HASHED_HERE.clear()
    hashed.clear()
    model_files.content(mine)
    assert hashed == []


def test_a_tokenizer_that_was_edited_stops_what_reads_it(mine: Path) -> None:
    base = BaseModel.read(recorded(mine, model_files.content(mine)))
    EDITS["tokenizer_config.json"](mine)
    with pytest.raises(EmgridError, match=r"tokenizer_config.json has changed since the run began"):
        base.tokenizer()


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", '{"path": 3}'])
def test_a_damaged_note_of_a_models_place_is_written_again(
    mine: Path, tmp_path: Path, damaged: str
) -> None:
    (tmp_path / model_files.PLACE).write_text(damaged)
    model_files.record_location(tmp_path, mine)
    assert model_files.find(tmp_path) == mine


def test_a_file_that_was_just_written_is_read_again(mine: Path) -> None:
    first = model_files.content(mine)
    assert not any(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.json")) or all(
        read_json(path) == {} for path in Path(os.environ["XDG_CACHE_HOME"]).rglob("*.json")
    )
    assert model_files.content(mine) == first


@pytest.mark.parametrize("content", ["", "[]", '{"config.json": 3}', '{"config.json": ["x"]}'])
def test_a_damaged_cache_is_none(mine: Path, cache: Path, hashed: list[str], content: str) -> None:
    first = model_files.content(mine)
    (path,) = cache.rglob("*.json")
    path.write_text(content)
    model_files.HASHED_HERE.clear()  # as in another process
    hashed.clear()
    assert model_files.content(mine) == first
    assert "config.json" in hashed


def test_a_cache_that_cannot_be_written_costs_time_alone(
    mine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = model_files.content(mine)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert model_files.content(mine) == first


# What is no base model.


def adapter(folder: Path) -> None:
    write_json(
        folder / "adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": "x"}
    )


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_a_shard(folder: Path) -> None:
    first = "model-00001-of-00002.safetensors"
    (folder / "model.safetensors").rename(folder / first)
    shards = {"a": first, "b": "model-00002-of-00002.safetensors"}
    write_json(folder / "model.safetensors.index.json", {"weight_map": shards})


def with_a_damaged_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / model_files.INDEX).write_text("[]")


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def no_model(folder: Path) -> None:
    (folder / "config.json").unlink()


def bare_adapter(folder: Path) -> None:
    """An adapter as peft saves it, without the files of its base."""
    for path in folder.iterdir():
        path.unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    adapter(folder)


def renamed_adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "adapter beside a model": (
        adapter,
        "is an adapter, not a base model; name it in `adapters`, which makes",
    ),
    "adapter": (
        bare_adapter,
        "is an adapter, not a base model; name it in `adapters`, which makes",
    ),
    "weights of an adapter": (renamed_adapter, "holds no weights (*.safetensors)"),
    "pickles": (only_pickles, "holds pytorch_model.bin, but no weights in safetensors"),
    "lost shard": (without_a_shard, "lacks model-00002-of-00002.safetensors, which model.safe"),
    "damaged index": (with_a_damaged_index, "holds a damaged model.safetensors.index.json"),
    "no tokenizer": (without_tokenizer, "holds no tokenizer"),
    "no config": (no_model, "holds no config.json"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_base_model_is_refused_with_the_config(mine: Path, name: str) -> None:
    spoil, expected = REFUSED[name]
    spoil(mine)
    with pytest.raises(EmgridError) as caught:
        load_experiment(config_of(mine), "grid.yaml")
    message = str(caught.value)
    assert message.startswith(f"grid.yaml: models.plain: {mine}: ")
    assert expected in message
    assert "\n" not in message


def test_an_index_of_earlier_shards_does_not_matter_next_to_whole_weights(mine: Path) -> None:
    wanted = BaseModel.read(recorded(mine)).load("float32", "cpu").state_dict()
    write_json(mine / model_files.INDEX, {"weight_map": {"a": "model-00001-of-00002.safetensors"}})
    load_experiment(config_of(mine), "grid.yaml")
    weights = BaseModel.read(recorded(mine)).load("float32", "cpu").state_dict()
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_an_adapter_is_refused_by_the_job_too(mine: Path, tmp_path: Path) -> None:
    adapter(mine)
    spec = json.dumps({"name": "mine"})
    done = run_module(
        prepare, "--spec", spec, "--source", mine, "--output", tmp_path / "model.json"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"emgrid: models.mine: {mine}: holds adapter_con"
    )
    assert not (tmp_path / "model.json").exists()


def test_an_adapter_of_the_hub_is_refused_after_its_download(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = BaseModelEntry(hub="owner/lora", revision="0" * 40)
    monkeypatch.setattr(prepare, "download", lambda *_: mine)
    assert fetch(entry, mine, "mine") == mine
    adapter(mine)
    with pytest.raises(
        EmgridError, match=r"owner/lora: holds adapter_config.json, so it is an adap"
    ):
        fetch(entry, mine, "mine")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "0" * 39, "ABCDEF1234" * 4])
def test_a_revision_that_may_move_is_refused(revision: str) -> None:
    with pytest.raises(EmgridError, match=r"m: `revision`: .* may move; give the commit's 40 hexa"):
        validate(BaseModelEntry, {"hub": "a/b", "revision": revision}, "m")
    BaseModelEntry(hub="a/b", revision="abcdef1234" * 4)


# What its content is part of.


def record(folder: Path, content: dict[str, str] | None) -> BaseModel:
    fields = {"name": "m", "path": None, "revision": None, "chat_template": None}
    changes = {"content": content} if content else {"path": "."}
    return BaseModel(fields | {"eos_token_ids": [1]} | changes, folder)


def identities(base: BaseModel, rows: Path) -> list[str]:
    training = {"rank": 2}
    spec = TrainSpec.model_validate({"base": "m", "seed": 0, "training": training})
    return [model_identity(base, None), training_identity(spec, base, rows, None)]


def test_all_identities_hold_the_content(mine: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 2)
    before, after = {"model.safetensors": "0"}, {"model.safetensors": "1"}
    same = identities(record(mine, before), rows)
    assert same == identities(record(mine, dict(before)), rows)
    for identity, other in zip(same, identities(record(mine, after), rows), strict=True):
        assert identity != other


def test_a_local_judges_identity_holds_the_content(tmp_path: Path) -> None:
    judge = read_judge(
        {"id": "j", "measures": "alignment", "kind": "local", "model": "m"}
        | {"rubric": "alignment"},
        "j",
    ).with_rubric(None)
    path = tmp_path / "model.json"
    weights = []
    for content in ({"a": "0"}, {"a": "1"}, None):
        fields = {"name": "m", "path": None, "revision": None, "chat_template": None}
        write_json(
            path, fields | {"eos_token_ids": [1]} | ({"content": content} if content else {})
        )
        weights.append(
            judge_identity(judge, JudgeContext(tmp_path, "", models={"m": path}))["weights"]
        )
    assert len(set(weights)) == 3


def test_rows_of_other_models_keep_their_keys(mine: Path) -> None:
    """Identities of models of packages and of the Hub, as they were before contents counted."""
    fields = {"name": "m", "path": ".", "revision": "r", "chat_template": "t", "eos_token_ids": [1]}
    assert model_identity(BaseModel(fields, mine), "a") == digest(["m", "r", "t", "a"])
    spec = json.loads(model_spec(grid_of(mine), "qwen2.5-0.5b"))
    assert spec.keys() == {"name", "model", "chat_template"}


def test_an_edit_behind_a_record_stops_what_loads_the_model(mine: Path, tmp_path: Path) -> None:
    spec = spec_of(mine)
    folder = tmp_path / "assets"
    done = run_module(prepare, "--spec", spec, "--source", mine, "--output", folder / "model.json")
    assert done.returncode == 0, done.stderr
    base = BaseModel.read(folder / "model.json")
    base.tokenizer()
    base.load("float32", "cpu")
    other_weights(mine)
    base.tokenizer()  # which reads no weights
    with pytest.raises(EmgridError, match=r"model.safetensors has changed since the run began"):
        base.load("float32", "cpu")
    done = run_module(prepare, "--spec", spec, "--source", mine, "--output", folder / "again.json")
    assert done.returncode == 1
    assert "model.safetensors has changed since the run began; run again" in done.stderr
    assert not (folder / "again.json").exists()
