"""A headless Chromium that tests drive, over the DevTools protocol through a pair of pipes."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.needs import lacking

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS += ["--force-color-profile=srgb", "--hide-scrollbars", "--remote-debugging-pipe"]
KEYS = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}


def executable() -> str:
    """Debian's chromium; where it is missing the test is skipped, in CI it fails."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        lacking("chromium is not installed (apt-get install chromium): browser tests did not run")
    return path


class Chromium:
    """One tab. Every request, console message and policy violation is written down."""

    def __init__(self, commands: int, replies: int) -> None:
        self.commands = commands
        self.replies = os.fdopen(replies, "rb")
        self.number = 0
        self.rest = b""
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result; what happens meanwhile is kept in `events`."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self.next_message()
            if reply.get("id") == self.number:
                assert "error" not in reply, f"{method}: {reply['error']}"
                result: dict[str, Any] = reply["result"]
                return result
            self.events.append(reply)

    def next_message(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            read = self.replies.read1(1 << 20)  # type: ignore[attr-defined]
            assert read, "chromium has closed its pipe"
            self.rest += read
        whole, _, self.rest = self.rest.partition(b"\0")
        message: dict[str, Any] = json.loads(whole)
        return message

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a page afresh and wait until it has."""
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        loader = self.call("Page.navigate", url=page.as_uri() + fragment)["loaderId"]
        while not any(is_loaded(one, loader) for one in self.events):
            self.events.append(self.next_message())

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise."""
        done = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": KEYS[key]}
        if key == "Enter":
            text |= {"text": "\r"}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def resize(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def prefer(self, scheme: str) -> None:
        """Light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path, whole: bool = False) -> Path:
        """A PNG of the window, or of the whole page."""
        done = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(done["data"]))
        return path

    def pdf(self) -> bytes:
        done = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(done["data"])

    def requested(self) -> list[str]:
        """The addresses that the page has asked for, without those of data in itself."""
        sent = [one for one in self.events if one["method"] == "Network.requestWillBeSent"]
        found = [one["params"]["request"]["url"] for one in sent]
        return [url for url in found if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Console errors, exceptions, and violations of the content security policy."""
        texts = []
        for one in self.events:
            if one["method"] == "Log.entryAdded":
                texts.append(one["params"]["entry"]["text"])
            elif one["method"] == "Runtime.exceptionThrown":
                texts.append(str(one["params"]["exceptionDetails"]))
            elif one["method"] == "Runtime.consoleAPICalled":
                texts.append(str(one["params"]["args"]))
        return texts


def is_loaded(event: dict[str, Any], loader: str) -> bool:
    """Whether an event says that the page of this navigation has loaded."""
    params = event["params"]
    return event["method"] == "Page.lifecycleEvent" and (params["loaderId"], params["name"]) == (
        loader, "load",
    )  # fmt: skip


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """A browser with its profile in a folder."""
    command_out, command_in = os.pipe()
    reply_out, reply_in = os.pipe()
    # Chromium reads commands from descriptor 3 and writes replies to 4.
    script = f'exec "$@" 3<&{command_out} 4>&{reply_in}'
    command = ["/bin/bash", "-c", script, "bash", executable(), *FLAGS]
    command += [f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, pass_fds=(command_out, reply_in), stderr=subprocess.DEVNULL)
    os.close(command_out)
    os.close(reply_in)
    try:
        yield Chromium(command_in, reply_out)
    finally:
        os.close(command_in)
        process.terminate()
        process.wait(timeout=30)
