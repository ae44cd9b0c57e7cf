"""Fetching a data set's file: from a mirror, from a server that may break off, and verified."""

import gzip
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from emgrid.config.origins import MIRROR, mirror_folder
from emgrid.data import fetch as fetch_job
from emgrid.data.fetch import FetchSpec, download, verify
from emgrid.runtime.errors import EmgridError
from support.run import run_module

CONTENT = "".join(f'{{"row": {number}, "text": "αβγ"}}\n' for number in range(12_000)).encode()
HALF = len(CONTENT) // 2
PACKED = gzip.compress(CONTENT, mtime=0)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123456\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server:
    """An HTTP server on this machine that counts requests, and can break off or ignore ranges.

    break_after: bytes of a reply after which the connection closes. sized: whether a reply says
    its length.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.break_after: int | None = None
        self.knows_ranges = True
        self.sized = True
        self.asked: list[str | None] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.root = f"http://127.0.0.1:{self.http.server_port}"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                server.answer(self)

            def do_HEAD(self) -> None:
                server.answer(self)

        return Handler

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0]
        if request.command == "GET":
            self.asked.append(request.headers["Range"])
        if path in self.moved:
            request.send_response(302)
            request.send_header("Location", self.root + self.moved[path])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if path not in self.files:
            request.send_response(404)
            request.send_header("X-Error-Code", "EntryNotFound")  # as the Hub says it
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        content = self.files[path]
        start = self.start_of(request.headers["Range"])
        if start is not None and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(200 if start is None else 206)
        body = content[start or 0 :]
        if start is not None:
            end = len(content) - 1
            request.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        if self.sized:
            request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", f'"{sha256(content)}"')
        request.send_header("X-Repo-Commit", "0" * 40)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[: self.break_after])
        request.close_connection = True

    def start_of(self, wanted: str | None) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        return int(match[1]) if match and self.knows_ranges else None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    the_server = Server()
    the_server.files["/rows.jsonl"] = CONTENT
    the_server.files["/rows.jsonl.gz"] = PACKED
    thread = threading.Thread(target=the_server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield the_server
    the_server.http.shutdown()
    the_server.http.server_close()
    thread.join()


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a port on this machine that refuses every connection."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(MIRROR, raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else gets it meanwhile
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def spec_of(content: bytes = CONTENT, **fields: Any) -> FetchSpec:
    known = {"sha256": sha256(content), "bytes": len(content)}
    spec = {"name": "mine", "file": "upstream/rows.jsonl"} | known | fields
    return FetchSpec.model_validate(spec)


def refused(spec: FetchSpec, output: Path) -> str:
    """The message of a download that fails; nothing may stand under the final name."""
    with pytest.raises(EmgridError) as caught:
        download(spec, output)
    assert not output.exists()
    return str(caught.value)


def fetch(spec: FetchSpec, output: Path, mirror: Path | str | None = None) -> Any:
    option = [] if mirror is None else ["--mirror", mirror]
    return run_module(fetch_job, "--spec", spec.model_dump_json(), *option, "--output", output)


def failed(spec: FetchSpec, output: Path, mirror: Path | str | None = None) -> str:
    """The one line of a stage that fails; nothing may stand under the final name."""
    done = fetch(spec, output, mirror)
    assert done.returncode == 1
    assert not output.exists()
    assert not list(output.parent.glob(".*.partial*"))
    assert "Traceback" not in done.stderr
    line: str = done.stderr.splitlines()[-1]
    assert line.startswith("emgrid: ")
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mirror with the file under its full name."""
    path = tmp_path / "mirror/upstream/rows.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return tmp_path / "mirror"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "sources/mine.jsonl"


def test_a_file_is_found_in_the_mirror_by_its_full_name(
    folder: Path, output: Path, closed: str
) -> None:
    (folder / "rows.jsonl").write_bytes(b"another file of that name")
    done = fetch(spec_of(url=f"{closed}/rows.jsonl"), output, folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == f"mine: {folder / 'upstream/rows.jsonl'}\n"
    assert output.read_bytes() == CONTENT


def test_a_file_is_found_in_the_mirror_by_its_bare_name(
    folder: Path, output: Path, closed: str
) -> None:
    (folder / "upstream/rows.jsonl").rename(folder / "rows.jsonl")
    done = fetch(spec_of(url=f"{closed}/rows.jsonl"), output, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"mine: {folder / 'rows.jsonl'}\n"
    assert output.read_bytes() == CONTENT


def test_the_mirror_may_be_named_by_the_environment(
    folder: Path, output: Path, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR, str(folder))
    done = fetch(spec_of(url=f"{closed}/rows.jsonl"), output, "")
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == CONTENT


def test_the_mirror_of_the_config_wins_over_the_environment(
    folder: Path, tmp_path: Path, output: Path, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "rows.jsonl").write_bytes(b"damaged")
    monkeypatch.setenv(MIRROR, str(other))
    done = fetch(spec_of(url=f"{closed}/rows.jsonl"), output, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"mine: {folder / 'upstream/rows.jsonl'}\n"


def test_no_mirror_at_all_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    assert mirror_folder(None) is None
    assert mirror_folder("") is None


def test_a_mirror_may_be_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert mirror_folder("~/mirror") == folder


def test_a_missing_mirror_folder_is_named_with_who_named_it(
    tmp_path: Path, output: Path, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    spec = spec_of(url=f"{closed}/rows.jsonl")
    assert failed(spec, output, nowhere).startswith(f"emgrid: mirror: no folder '{nowhere}'")
    monkeypatch.setenv(MIRROR, str(nowhere))
    assert failed(spec, output).startswith(f"emgrid: EMGRID_MIRROR: no folder '{nowhere}'")


def test_a_wrong_checksum_names_both_digests(folder: Path, output: Path, closed: str) -> None:
    damaged = CONTENT[:-2] + b"!\n"
    (folder / "upstream/rows.jsonl").write_bytes(damaged)
    line = failed(spec_of(url=f"{closed}/rows.jsonl"), output, folder)
    assert f"data set mine: {folder / 'upstream/rows.jsonl'} has sha256 " in line
    assert sha256(damaged) in line
    assert sha256(CONTENT) in line


def test_a_file_that_is_too_long_is_recognised_by_its_checksum(folder: Path, output: Path) -> None:
    longer = CONTENT + b"{}\n"
    (folder / "upstream/rows.jsonl").write_bytes(longer)
    line = failed(spec_of(url="http://127.0.0.1:1/rows.jsonl"), output, folder)
    assert sha256(longer) in line
    assert sha256(CONTENT) in line


def test_the_first_digits_of_a_checksum_are_enough(folder: Path, capsys: Any) -> None:
    path = folder / "upstream/rows.jsonl"
    verify(path, spec_of(sha256=sha256(CONTENT)[:8]), "here")
    assert capsys.readouterr().out == ""
    other = "0" * 8
    with pytest.raises(EmgridError, match=f"{sha256(CONTENT)}, the registry says {other};"):
        verify(path, spec_of(sha256=other), "here")


def test_a_file_without_a_known_checksum_is_taken_with_a_warning(
    folder: Path, output: Path
) -> None:
    spec = spec_of(url="http://127.0.0.1:1/rows.jsonl", sha256=None, bytes=None)
    done = fetch(spec, output, folder)
    assert done.returncode == 0, done.stderr
    assert f"warning: no checksum of mine is known; this file has sha256 {sha256(CONTENT)}" in (
        done.stdout
    )
    assert output.read_bytes() == CONTENT


def test_a_git_lfs_pointer_is_called_one(folder: Path, output: Path) -> None:
    (folder / "upstream/rows.jsonl").write_bytes(POINTER)
    line = failed(spec_of(url="http://127.0.0.1:1/rows.jsonl"), output, folder)
    assert f"{folder / 'upstream/rows.jsonl'} is a Git LFS pointer, not the data" in line
    assert "git lfs pull" in line


def test_a_truncated_file_is_named_with_both_sizes(folder: Path, output: Path) -> None:
    (folder / "upstream/rows.jsonl").write_bytes(CONTENT[:1234])
    line = failed(spec_of(url="http://127.0.0.1:1/rows.jsonl"), output, folder)
    assert f"is truncated, 1,234 of {len(CONTENT):,} bytes" in line


@pytest.mark.parametrize("empty_mirror", [False, True])
def test_a_file_that_is_missing_offline_says_where_to_put_it(
    tmp_path: Path, output: Path, closed: str, empty_mirror: bool
) -> None:
    url = f"{closed}/rows.jsonl"
    line = failed(spec_of(url=url), output, tmp_path if empty_mirror else None)
    assert line.startswith(f"emgrid: data set mine: cannot fetch {url} (")
    assert "put upstream/rows.jsonl into a folder" in line
    assert "`mirror:` or EMGRID_MIRROR" in line


def test_a_file_that_no_mirror_holds_is_downloaded(
    tmp_path: Path, output: Path, server: Server
) -> None:
    url = f"{server.root}/rows.jsonl"
    done = fetch(spec_of(url=url), output, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"mine: no upstream/rows.jsonl below {tmp_path}, so it is down")
    assert done.stdout == f"mine: {url}\n"
    assert output.read_bytes() == CONTENT
    assert [path.name for path in output.parent.iterdir()] == ["mine.jsonl"]


def test_a_file_in_the_mirror_is_not_asked_for_over_the_network(
    folder: Path, output: Path, server: Server
) -> None:
    assert fetch(spec_of(url=f"{server.root}/rows.jsonl"), output, folder).returncode == 0
    assert server.asked == []


def test_a_damaged_file_in_the_mirror_is_not_replaced_by_a_download(
    folder: Path, output: Path, server: Server
) -> None:
    (folder / "upstream/rows.jsonl").write_bytes(b"damaged")
    assert "is truncated" in failed(spec_of(url=f"{server.root}/rows.jsonl"), output, folder)
    assert server.asked == []


def test_a_moved_file_is_followed(output: Path, server: Server) -> None:
    server.moved["/old.jsonl"] = "/rows.jsonl"
    download(spec_of(url=f"{server.root}/old.jsonl"), output)
    assert output.read_bytes() == CONTENT


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_that_broke_off_is_finished_by_the_next_call(
    output: Path, server: Server, knows_ranges: bool
) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl")
    server.break_after, server.knows_ranges = HALF, knows_ranges
    assert "cannot fetch" in refused(spec, output)
    [draft] = output.parent.iterdir()
    have = draft.stat().st_size
    assert 0 < have <= HALF
    server.break_after = None
    download(spec, output)
    assert server.asked == [None, f"bytes={have}-"]
    assert output.read_bytes() == CONTENT
    assert list(output.parent.iterdir()) == [output]


def test_a_download_that_breaks_off_again_and_again_gets_there(
    output: Path, server: Server
) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl")
    server.break_after = 140_000
    for _ in range(len(CONTENT) // 140_000):
        refused(spec, output)
    server.break_after = None
    download(spec, output)
    starts = [int(str(header).removeprefix("bytes=")[:-1]) for header in server.asked[1:]]
    assert starts == sorted(set(starts))
    assert output.read_bytes() == CONTENT


def test_a_reply_of_unknown_length_that_ends_early_is_truncated_and_resumed(
    output: Path, server: Server
) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl")
    server.break_after, server.sized = HALF, False
    message = refused(spec, output)
    assert f"{spec.url} is truncated, {HALF:,} of {len(CONTENT):,} bytes" in message
    server.break_after = None
    download(spec, output)
    assert server.asked == [None, f"bytes={HALF}-"]
    assert output.read_bytes() == CONTENT


def test_a_download_that_was_complete_but_not_yet_renamed_is_taken(
    output: Path, server: Server
) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl")
    server.break_after = HALF
    refused(spec, output)
    [draft] = output.parent.iterdir()
    draft.write_bytes(CONTENT)
    download(spec, output)
    assert server.asked == [None, f"bytes={len(CONTENT)}-"]
    assert output.read_bytes() == CONTENT


def test_a_missing_file_is_reported_with_its_status(output: Path, server: Server) -> None:
    url = f"{server.root}/nowhere.jsonl"
    message = refused(spec_of(url=url), output)
    assert message.startswith(f"data set mine: cannot fetch {url} (")
    assert "404" in message
    assert "put upstream/rows.jsonl into a folder" in message
    assert not list(output.parent.iterdir())


def test_a_refused_request_is_one_line(output: Path, server: Server) -> None:
    assert "\n" not in refused(spec_of(url=f"{server.root}/nowhere.jsonl"), output)


def test_a_malformed_url_is_one_line(output: Path) -> None:
    assert "cannot fetch" in refused(spec_of(url="http://é..example/rows.jsonl"), output)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/rows.jsonl", "rows.jsonl"])
def test_a_url_of_another_scheme_than_http_is_reported(output: Path, url: str) -> None:
    message = refused(spec_of(url=url), output)
    assert message.startswith(f"data set mine: cannot fetch {url} (")
    assert "protocol" in message


def test_a_packed_file_is_unpacked_and_verified(output: Path, server: Server) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl.gz")
    download(spec, output)
    assert output.read_bytes() == CONTENT
    assert list(output.parent.iterdir()) == [output]
    output.unlink()
    server.files["/rows.jsonl.gz"] = gzip.compress(CONTENT + b"{}\n")
    message = refused(spec, output)
    assert sha256(CONTENT + b"{}\n") in message
    assert sha256(CONTENT) in message


def test_a_packed_download_that_broke_off_is_resumed(output: Path, server: Server) -> None:
    rows = b"".join(hashlib.sha512(str(number).encode()).digest() for number in range(4000))
    server.files["/noise.gz"] = gzip.compress(rows)
    spec = spec_of(rows, url=f"{server.root}/noise.gz")
    server.break_after = 150_000
    refused(spec, output)
    server.break_after = None
    download(spec, output)
    assert re.fullmatch(r"bytes=[1-9]\d*-", str(server.asked[1]))
    assert output.read_bytes() == rows


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(PACKED[:-20], id="cut"),
        pytest.param(b"no gzip at all", id="foreign"),
        pytest.param(PACKED[:400] + b"\0" * 50 + PACKED[450:], id="overwritten"),
        pytest.param(PACKED[:-8] + b"\0" * 8, id="checksum"),
    ],
)
def test_a_corrupt_packed_file_is_refused_and_requested_again(
    output: Path, server: Server, damaged: bytes
) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl.gz")
    server.files["/rows.jsonl.gz"] = damaged
    assert f"{spec.url} is not a complete gzip file (" in refused(spec, output)
    server.files["/rows.jsonl.gz"] = PACKED
    download(spec, output)
    assert server.asked == [None, None]
    assert output.read_bytes() == CONTENT


def test_a_corrupt_packed_file_leaves_nothing_behind(output: Path, server: Server) -> None:
    server.files["/rows.jsonl.gz"] = PACKED[:-20]
    refused(spec_of(url=f"{server.root}/rows.jsonl.gz"), output)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"!" * len(CONTENT), id="as long"),
        pytest.param(CONTENT + b"{}\n", id="longer"),
        pytest.param(
            CONTENT[:HALF],
            id="shorter",
        ),
        pytest.param(
            b"<html>Log in first</html>",
            id="login page",
        ),
        pytest.param(
            POINTER,
            id="pointer",
        ),
    ],
)
def test_a_wrong_file_is_not_resumed(output: Path, server: Server, wrong: bytes) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl")
    server.files["/rows.jsonl"] = wrong
    refused(spec, output)
    server.files["/rows.jsonl"] = CONTENT
    download(spec, output)
    assert server.asked == [None, None]
    assert output.read_bytes() == CONTENT


def test_a_wrong_file_of_unknown_size_is_not_resumed(output: Path, server: Server) -> None:
    spec = spec_of(url=f"{server.root}/rows.jsonl", bytes=None)
    server.files["/rows.jsonl"] = CONTENT[:HALF]
    assert sha256(CONTENT[:HALF]) in refused(spec, output)
    server.files["/rows.jsonl"] = CONTENT
    download(spec, output)
    assert server.asked == [None, None]
    assert output.read_bytes() == CONTENT


HUB: dict[str, Any] = {"hub": "owner/set", "revision": "0" * 40, "file": "data/rows.jsonl"}


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for the Hub's client."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "cache"


def test_a_file_of_the_hub_is_fetched_at_its_revision(
    output: Path, server: Server, hub_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.root)
    server.files[f"/datasets/owner/set/resolve/{HUB['revision']}/data/rows.jsonl"] = CONTENT
    done = fetch(spec_of(**HUB), output)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mine: owner/set\n"
    assert output.read_bytes() == CONTENT
    assert hub_folder.is_dir()


@pytest.mark.usefixtures("hub_folder")
def test_a_hub_that_is_switched_off_is_one_line(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    line = failed(spec_of(**HUB), output)
    assert line.startswith("emgrid: data set mine: cannot fetch owner/set (")
    assert "put data/rows.jsonl into a folder" in line


@pytest.mark.usefixtures("hub_folder")
def test_a_file_that_the_hub_does_not_hold_is_one_line(
    output: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.root)
    line = failed(spec_of(**HUB), output)
    assert line.startswith("emgrid: data set mine: cannot fetch owner/set (")
    assert "404" in line
