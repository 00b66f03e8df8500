"""The command in a process of its own that need not load its libraries: forked from one that has.

What a verb itself imports is imported in the fork, and standard streams, folder and exit status are the process's
own, so that only the start is saved. Where processes cannot fork, each is started anew.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path


def call_anew(*arguments, cwd=None):
    """Run wwc-eval in a process started for it."""
    return subprocess.run(
        [sys.executable, "-m", "wwc_eval", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


class Forks:
    """A process with the libraries loaded that forks one of its own for each call."""

    def __enter__(self):
        self.parent = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_):
        self.parent.stdin.close()
        self.parent.wait()
        self.parent.stdout.close()

    def call(self, *arguments, cwd=None):
        """Run wwc-eval in a fork."""
        with tempfile.TemporaryDirectory() as name:
            streams = [Path(name, stream) for stream in ("out", "err")]
            asked = {
                "arguments": [str(each) for each in arguments],
                "cwd": str(cwd or Path.cwd()),
                "streams": [str(path) for path in streams],
            }
            self.parent.stdin.write(json.dumps(asked) + "\n")
            self.parent.stdin.flush()
            status = int(self.parent.stdout.readline())
            out, err = (path.read_text(encoding="utf-8") for path in streams)
        return subprocess.CompletedProcess(asked["arguments"], status, out, err)


def serve():
    """Fork for every line of standard input and answer with the exit status."""
    import wwc_eval.plans  # noqa: F401 - what nearly all verbs wait for

    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            become(asked)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(asked):
    """Be ``wwc-eval`` with the arguments, folder and streams that were asked for."""
    os.chdir(asked["cwd"])
    streams = [(os.devnull, os.O_RDONLY), *((path, os.O_WRONLY | os.O_CREAT) for path in asked["streams"])]
    for number, (path, flags) in enumerate(streams):
        os.dup2(os.open(path, flags), number)
    sys.argv = ["wwc-eval", *asked["arguments"]]
    runpy.run_module("wwc_eval", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve()
