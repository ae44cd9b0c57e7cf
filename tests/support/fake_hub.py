"""As much of the Hugging Face Hub as a download of a model needs, on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "0" * 40
TOKEN = "hf_right"  # noqa: S105 (it opens nothing)


class Hub(ThreadingHTTPServer):
    """Holds one repository, `owner/model`. gated: who asks without TOKEN may see its files, not
    have them. claimed: sizes that it states, by file, in place of the true ones."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.gated = False
        self.down = False
        self.claimed: dict[str, int] = {}
        self.sent: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def size(self, name: str) -> int:
        return self.claimed.get(name, len(self.files[name]))


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub, path = self.server, self.path.split("?")[0].strip("/")
        allowed = not hub.gated or self.headers["Authorization"] == f"Bearer {TOKEN}"
        tree, files = "api/models/owner/model/tree/", "owner/model/resolve/"
        if hub.down:
            self.reply(503, {"error": "down"})
        elif not path.startswith((tree, files)):
            self.refuse(404, "RepoNotFound", "Repository not found")
        elif path.split("/")[-1 if path.startswith(tree) else 3] != REVISION:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
        elif path.startswith(tree):
            self.reply(200, [self.listed(name) for name in hub.files])
        elif not allowed:
            self.refuse(403, "GatedRepo", "Access to model owner/model is restricted")
        else:
            self.send_file(path.split("/", 4)[4])

    def listed(self, name: str) -> dict[str, Any]:
        return {
            "type": "file",
            "path": name,
            "size": self.server.size(name),
            "oid": sha256(self.server.files[name]).hexdigest(),
        }

    def send_file(self, name: str) -> None:
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(self.server.size(name)))
        self.end_headers()
        if self.command == "GET":
            self.server.sent.append(name)
            self.wfile.write(content)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.reply(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(text))} | (headers or {})).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def hub(files: dict[str, bytes]) -> Iterator[Hub]:
    with Hub(files) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
