#!/usr/bin/env bash
# openai 3.54.0: a `retry-after` above 120 seconds ends a call at once, whatever max_retries says.
#
# Version: openai 3.54.0.
#
# Expected: a client with max_retries=3 that is refused with status 429 tries again, after the delay
# that the server names or after its default delay.
# Seen: with `retry-after: 2` it waits two seconds and tries again. With `retry-after: 121` it makes
# no second attempt: the first 429 is raised at once. With no header it backs off and tries again.
# So one and the same overload is survived or not, depending on how long the server asks to wait.
#
# The server is local. Exit status 0: seen as described. 1: something changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openai==3.54.0
"$folder/venv/bin/python" - <<'PYTHON'
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai


class Busy(BaseHTTPRequestHandler):
    """Answers every request with 429; `header` and `calls` are set by each case."""

    header: str | None = None
    calls = 0

    def do_POST(self) -> None:
        type(self).calls += 1
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"error": {"message": "busy", "type": "rate_limit", "code": null}}'
        self.send_response(429)
        if self.header is not None:
            self.send_header("retry-after", self.header)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/v1"
client = openai.OpenAI(api_key="none", base_url=address, max_retries=3)
found = {}
for header in ("2", None, "121"):
    Busy.header, Busy.calls, start = header, 0, time.monotonic()
    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    except openai.RateLimitError:
        pass
    found[header] = (Busy.calls, time.monotonic() - start)
    print(f"retry-after {header}: {Busy.calls} calls in {found[header][1]:.1f} s")
assert found["2"][0] == 4 and found["2"][1] >= 6, "retry-after: 2 is treated otherwise now"
assert found[None][0] == 4, "without the header it no longer tries again"
assert found["121"][0] == 1 and found["121"][1] < 1, "retry-after: 121 is tried again now"
print("as described: above 120 seconds there is no second attempt")
PYTHON
