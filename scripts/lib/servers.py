"""What the measuring scripts share: which sockkit they measure, the engines it has, and servers that are ready."""

import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time

# How long anything may take that is sure to happen.
PATIENCE_S = 30

ROOT = pathlib.Path(__file__).resolve().parents[2]


def sockkit():
    """The binary: SOCKKIT, or one in the PATH, or the release build beside this script."""
    return os.environ.get("SOCKKIT") or shutil.which("sockkit") or str(ROOT / "target/release/sockkit")


def engines():
    """What `serve --engine` can be told, apart from `auto`. None at all where there is nothing to choose."""
    text = subprocess.run([sockkit(), "serve", "--help"], check=True, capture_output=True, text=True).stdout
    option = re.search(r"^ +--engine\b.*?(?=^ +(?:-\w, )?--|\Z)", text, re.MULTILINE | re.DOTALL)
    if not option:
        return []
    listed = re.search(r"\[possible values: ([^]]*)\]", option[0])
    names = re.split(r",\s*", listed[1]) if listed else re.findall(r"^ +- (\w+):?", option[0], re.MULTILINE)
    return [name for name in names if name != "auto"]


class NotReady(Exception):
    """A server did not start, with the last thing that it said."""


class Server:
    """A process that ends with the `with` in which it was started, and with it whatever it has started."""

    def __init__(self, command, log, stdout=subprocess.DEVNULL):
        """`log` is a file for what it says on stderr."""
        self.log = pathlib.Path(log)
        with open(log, "w") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends it in good order, or else by force."""
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def last_words(self):
        """The last line of its stderr."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class Sockkit(Server):
    """A `sockkit serve` that is ready; `url` is where."""

    def __init__(self, options, log, under=()):
        """`under` is a command that runs another: taskset, valgrind."""
        super().__init__([*under, sockkit(), "serve", *options], log, subprocess.PIPE)
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        words = self.process.stdout.readline().decode().split() if readable else []
        if words[:1] != ["listening"]:
            self.stop()
            raise NotReady(self.last_words())
        self.url = words[1]


def until(what, condition):
    """Looks at a condition until it holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S} s in vain until {what}")
        time.sleep(0.0001)
