"""A program at the other end of the line: `exec:` talks over its stdin and stdout, `pty:` over a pty that it prints."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from pipeline.problem import EXIT_DEVICE, EXIT_TOOL, Problem

PTY_SECONDS = 15.0
_LOG_READ = 1 << 16
_PTY_LINE = re.compile(rb"(?:char device redirected to|pty:)\s*(/\S+)")


class Child:
    """A running program in a session of its own (Ctrl-C reaches only the harness); what it prints goes to a file."""

    def __init__(self, name: str, command: str, talks: bool = False) -> None:
        self.name, self.command = name, command
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the program, close() closes it
        self._process = self._start(talks)
        self.input = self._process.stdin.fileno() if self._process.stdin else -1
        self.output = self._process.stdout.fileno() if self._process.stdout else -1

    def pty_path(self) -> str:
        """Wait for the line that names the program's pty: QEMU's `char device redirected to`, or `pty: /dev/pts/N`."""
        end = time.monotonic() + PTY_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if found := _PTY_LINE.search(self._printed()):
                return found.group(1).decode()
            time.sleep(0.005)
        if found := _PTY_LINE.search(self._printed()):
            return found.group(1).decode()
        what = "printed no pty" if self._process.poll() is None else "ended before it printed a pty"
        hint = self.last_words() or "it must print a line such as: pty: /dev/pts/3"
        raise Problem(self.name, what, hint, EXIT_DEVICE)

    def last_words(self) -> str:
        """How the program ended, if it did, and the last line it printed; for hints."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        code = self._process.returncode
        ended = "" if code is None else f"the program ended with exit code {code}"
        lines = self._printed().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ": ".join(part for part in (ended, last) if part)

    def close(self) -> None:
        """End the program and all it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)
                break
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        self._log.close()

    def _start(self, talks: bool) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        if not self.command.strip():
            raise Problem(self.name, "names no command", f"as in {self.name.strip()}./device")
        try:
            return subprocess.Popen(
                shlex.split(self.command),
                bufsize=0,
                stdin=pipe if talks else subprocess.DEVNULL,
                stdout=pipe if talks else self._log,
                stderr=self._log,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = f"install {Path(self.command.split()[0]).name}, or give its full path"
            raise Problem(self.name, f"does not start ({reason})", hint, EXIT_TOOL) from error

    def _printed(self) -> bytes:
        """The end of what the program wrote so far, read without moving its own file position."""
        if self._log.closed:
            return b""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), _LOG_READ, max(0, size - _LOG_READ))
