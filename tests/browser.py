"""A headless Chromium driven over the DevTools pipe, for tests of pages. Needs nothing but the browser itself."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

KEYS = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39}

NO_GL = ("--disable-3d-apis", "--disable-software-rasterizer")


def find_browser():
    """Path of a Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """One page. Messages are JSON with a zero byte behind each, on file descriptors 3 (to it) and 4 (from it).

    It reaches nothing but this machine: no other name or address is resolved.

    Args:
        program: of :func:`find_browser`.
        profile: folder for what it keeps.
        width: of the page in pixels.
        height: of what is seen of it.
        gl: whether there is WebGL, drawn by the CPU.
    """

    def __init__(self, program: str, profile: Path, width: int = 1500, height: int = 1000, gl: bool = False):
        to_read, self._to = os.pipe()
        self._from, from_write = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, from_write)]

        def connect() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                *(("--use-angle=swiftshader", "--enable-unsafe-swiftshader") if gl else ("--disable-gpu", *NO_GL)),
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            preexec_fn=connect,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_read, from_write, *high):
            os.close(end)
        self.errors: list[str] = []
        """What the page threw, logged as an error, could not load, or asked in a dialog."""
        self.asked: list[str] = []
        """Addresses that the page asked for."""
        self._buffer, self._number, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Runtime.enable")
        self.call("Network.enable")
        self.call("Log.enable")
        self.call("Page.enable")

    def _heard(self, method: str, told: dict[str, Any]) -> None:
        """Keep what an event tells."""
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
            self.errors.append(json.dumps(told["args"])[:500])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(json.dumps(told["entry"])[:500])
        elif method == "Page.javascriptDialogOpening":
            self.errors.append(f"{told['type']}: {told['message']}"[:500])
            # A page stands still until its dialog is closed; nobody waits for the answer.
            self._send("Page.handleJavaScriptDialog", {"accept": False})
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._number

    def call(self, method: str, **parameters):
        """Send a command and wait up to 30 s for its answer."""
        number = self._send(method, parameters)
        end = time.monotonic() + 30
        while True:
            while b"\0" not in self._buffer:
                if not select.select([self._from], [], [], max(0.0, end - time.monotonic()))[0]:
                    raise TimeoutError(method)
                data = os.read(self._from, 1 << 16)
                if not data:
                    raise ConnectionError("The browser ended.")
                self._buffer += data
            line, _, self._buffer = self._buffer.partition(b"\0")
            answer = json.loads(line)
            self._heard(answer.get("method", ""), answer.get("params", {}))
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer.get("result", {})

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def value(self, expression: str):
        """Value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str, seconds: float = 10.0) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression}; page: {self.value('document.body.innerText')}")
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a keyboard does."""
        for key in keys:
            code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            common = {"key": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an <input type="file">."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
