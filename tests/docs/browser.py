"""A headless Chromium, driven over a pipe by the DevTools protocol.

Invariant: nothing is waited for longer than `PATIENCE`, and the browser ends
with its `with`.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time

PATIENCE = 30  # seconds
NAMES = ["chromium", "chromium-browser", "google-chrome", "chrome"]
OPTIONS = ["--headless", "--remote-debugging-pipe", "--no-sandbox",
           "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--disable-extensions", "--hide-scrollbars"]


def program():
    """The browser's path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def pipe():
    """A pipe whose ends lie above 9: 3 and 4 are to be given to the browser."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high


class Browser:
    """One tab. `events` holds what the browser has told since `go`."""

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self.to = pipe()
        self.source, theirs_out = pipe()
        null = os.open(os.devnull, os.O_RDWR)
        self.pid = os.posix_spawn(
            program(), [program(), *OPTIONS, f"--user-data-dir={self.profile.name}"],
            os.environ, setpgroup=0, file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, null, 2),
                (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                (os.POSIX_SPAWN_DUP2, theirs_out, 4)])
        for end in (theirs_in, theirs_out, null):
            os.close(end)
        self.last, self.session, self.pending, self.events = 0, None, b"", []
        try:
            target = self.call("Target.createTarget", url="about:blank")
            self.session = self.call("Target.attachToTarget", flatten=True,
                                     targetId=target["targetId"])["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.to)
        os.close(self.source)
        self.profile.cleanup()

    def receive(self, deadline):
        while b"\0" not in self.pending:
            wait = deadline - time.monotonic()
            if wait <= 0 or not select.select([self.source], [], [], wait)[0]:
                raise TimeoutError("the browser says nothing")
            piece = os.read(self.source, 1 << 16)
            if not piece:
                raise EOFError("the browser is gone")
            self.pending += piece
        message, _, self.pending = self.pending.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def go(self, address):
        """Opens an address and waits until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + PATIENCE
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.events.append(self.receive(deadline))

    def value(self, expression):
        """What a JavaScript expression is; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression,
                           returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def look(self, width, scheme):
        """As on a screen of that width, which likes light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13}[key])

    def complaints(self):
        """Errors on the console, and requests to another host."""
        for event in self.events:
            told = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                yield f"exception: {told['exceptionDetails']['text']}"
            elif event["method"] == "Runtime.consoleAPICalled":
                if told["type"] in ("error", "warning", "assert"):
                    yield f"console: {told['args']}"
            elif event["method"] == "Log.entryAdded":
                if told["entry"]["level"] in ("error", "warning"):
                    yield f"log: {told['entry']['text']}"
            elif event["method"] == "Network.requestWillBeSent":
                if not told["request"]["url"].startswith(("file:", "data:")):
                    yield f"request: {told['request']['url']}"
