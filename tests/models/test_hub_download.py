"""Models of the Hub: what is fetched, and the one line of each way in which that fails."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emgrid.models.hub_download import reason
from httpx2 import ConnectError
from support.fake_hub import REVISION, TOKEN, Hub, hub
from support.tiny_models import prepare

FILES = {"config.json": b"{}", "model.safetensors": b"0" * 40_000, "notes.md": b"# not read"}
REPO = "owner/model"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The Hub's place, with an empty cache and no token."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with hub(dict(FILES)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def model(output: Path, repo: str = REPO, revision: str = REVISION) -> str:
    """The last line of the job that makes the model ready, which must fail without a traceback."""
    done: subprocess.CompletedProcess[str] = prepare(
        output / "model.json", hub=repo, revision=revision
    )
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert not (output / "model.json").exists()
    return done.stderr.splitlines()[-1]


def test_a_gated_model_names_the_page_where_access_is_asked_for(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.gated = True
    line = model(tmp_path)
    assert line == (
        "emgrid: model mine: access to owner/model is restricted; ask for it at "
        "https://huggingface.co/owner/model, then set HF_TOKEN to a token of that account (none is "
        "set)"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    line = model(tmp_path)
    assert line.endswith("(the one in use may not)")
    assert "hf_wrong" not in line
    # With the right one the files come; these are no whole model.
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "holds no tokenizer" in model(tmp_path)
    assert sorted(server.sent) == ["config.json", "model.safetensors"]


@pytest.mark.usefixtures("server")
def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    line = model(tmp_path, repo="owner/typo")
    assert line.startswith(
        "emgrid: model mine: there is no owner/typo on the Hub, or it is private"
    )


@pytest.mark.usefixtures("server")
def test_a_wrong_revision_names_the_page_of_the_right_ones(tmp_path: Path) -> None:
    line = model(tmp_path, revision="a" * 40)
    assert f"owner/model has no commit {'a' * 40}; copy one from" in line
    assert "https://huggingface.co/owner/model/commits/main" in line


@pytest.mark.usefixtures("server")
def test_without_a_network_the_way_out_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    line = model(tmp_path)
    assert "owner/model is not in " in line
    assert "HF_HUB_OFFLINE is set; unset it, or run `hf download owner/model --revision 0" in line


def test_a_hub_that_cannot_be_reached_is_named_with_the_way_out() -> None:
    """The client itself tries for half a minute before it raises this."""
    line = reason(ConnectError("Name or service not known"), REPO, REVISION, Path("hub"))
    assert line == (
        "owner/model cannot be downloaded (Name or service not known); run again when the Hub can "
        f"be reached, or run `hf download owner/model --revision {REVISION}` where there is a "
        "network and name that folder by `path`"
    )


def test_a_model_larger_than_the_disk_is_refused_before_its_download(
    server: Hub, tmp_path: Path
) -> None:
    server.claimed["model.safetensors"] = 10**18
    line = model(tmp_path)
    assert "owner/model needs 1,000,000,000.0 GB, and " in line
    assert line.endswith("GB free; make room, or set HF_HOME to a folder on a larger disk")
    assert server.sent == []


def fetched() -> tuple[Path, str]:
    """The folder of the model, and what was said meanwhile. In its own process, because the Hub's
    client reads its variables when it is imported."""
    code = "import sys; from emgrid.models import hub_download as here; here.SHOWN = 1000;"
    code += "print(here.download(*sys.argv[1:], 'mine'))"
    command = [sys.executable, "-c", code, REPO, REVISION]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()), done.stderr


def test_a_download_shows_its_size_and_progress_and_is_not_repeated(
    server: Hub, tmp_path: Path
) -> None:
    folder, said = fetched()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: FILES[name] for name in ("config.json", "model.safetensors")
    }
    assert f"mine: downloading owner/model, 0.0 GB, to {tmp_path / 'cache'}" in said
    assert "downloading: 100%" in said
    assert "Reconstruct" not in said
    server.down = True
    again, said = fetched()
    assert again == folder
    assert said == ""
    assert len(server.sent) == 2


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_disk_that_fills_up_meanwhile_names_the_cache(wrapped: bool) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    problem: Exception = full
    if wrapped:
        problem = RuntimeError("writing failed")
        problem.__cause__ = full
    line = reason(problem, REPO, REVISION, Path("/home/me/hub"))
    assert line == (
        "/home/me/hub: the disk is full; make room, or set HF_HOME to a folder on a larger disk"
    )


def test_what_has_nothing_to_do_with_the_hub_is_left_as_it_is() -> None:
    assert reason(ValueError("a bug"), REPO, REVISION, Path("hub")) is None
