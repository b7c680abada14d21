"""Bytes to and from a device; the string after --port picks the way, nothing above knows which it was."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from pipeline.child import Child
from pipeline.ports import Settings, find_again, identity, open_port
from pipeline.problem import EXIT_DEVICE, Problem

_WRITE_AT_ONCE = 4096


class Gone(Problem):
    """A line that was open and is gone."""


class Transport(Protocol):
    """A line to a device: bytes in, bytes out. `returns`: a line that is gone may come back, as a cable does."""

    name: str
    returns: bool

    def exchange(self, outgoing: bytearray, timeout: float) -> bytes:
        """Send from the front of `outgoing` (taken bytes leave it) until bytes arrive or `timeout` seconds passed."""

    def reopen(self) -> None:
        """Open the same device's port again, under another name if it has one now; a Problem when it is not there."""

    def set_baud(self, baud: int) -> None:
        """Change the line rate, where there is one."""

    def close(self) -> None:
        """Give the port back and end the program behind it, if there is one."""


def connect(port: str, settings: Settings | None = None) -> Transport:
    """Open `port`: a device path, `exec:COMMAND`, `pty:COMMAND`, `pty:PATH`, socket://HOST:PORT or rfc2217://HOST:PORT."""
    settings = settings or Settings()
    scheme, _, rest = port.partition(":")
    if scheme == "exec":
        return _connect_exec(port, rest)
    if scheme == "pty" and not (_is_device(rest) or rest.startswith("/dev/")):
        return _connect_pty(port, rest, settings)
    return _connect_port(port, rest if scheme == "pty" else port, settings)


def _connect_port(name: str, path: str, settings: Settings) -> Transport:
    line = PortLine if path.startswith("rfc2217://") else Line
    port = open_port(path, settings)
    badge = identity(path)

    def again() -> tuple[str, Any]:
        found = find_again(path, badge)
        return (name if found == path else found), open_port(found, settings)

    time.sleep(settings.settle_seconds)
    passing = path.startswith("/dev/pts/")  # the next pty of that number is somebody else's
    return line(name, port, None if passing else again)


def _connect_exec(name: str, command: str) -> Transport:
    child = Child(name, command, talks=True)
    return Line(name, _Pipes(child), last_words=child.last_words)


def _connect_pty(name: str, command: str, settings: Settings) -> Transport:
    child = Child(name, command)
    try:
        port = open_port(child.pty_path(), settings)
    except BaseException:
        child.close()
        raise
    time.sleep(settings.settle_seconds)
    return Line(name, _PortOf(child, port), last_words=child.last_words)


def _is_device(rest: str) -> bool:
    try:
        return stat.S_ISCHR(Path(rest).stat().st_mode)
    except OSError:
        return False


def _no_words() -> str:
    return ""


class _Pipes:
    """The two pipes of a program as a port."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def filenos(self) -> tuple[int, int]:
        return self._child.output, self._child.input

    def close(self) -> None:
        self._child.close()


class _PortOf:
    """A program's pty as a port that ends the program when it is closed."""

    def __init__(self, child: Child, port: Any) -> None:
        self._child, self._port = child, port

    def filenos(self) -> tuple[int, int]:
        return self._port.fileno(), self._port.fileno()

    def close(self) -> None:
        self._port.close()
        self._child.close()


class Line:
    """A transport over file descriptors: a serial device, a pty, a socket, the pipes of a program."""

    def __init__(
        self,
        name: str,
        port: Any,
        again: Callable[[], tuple[str, Any]] | None = None,
        last_words: Callable[[], str] = _no_words,
    ) -> None:
        self.name, self.returns = name, again is not None
        self._again, self._last_words = again, last_words
        self._use(port)

    def _use(self, port: Any) -> None:
        self._port = port
        self._read_fd, self._write_fd = port.filenos() if hasattr(port, "filenos") else (port.fileno(),) * 2
        for descriptor in (self._read_fd, self._write_fd):
            os.set_blocking(descriptor, False)

    def exchange(self, outgoing: bytearray, timeout: float) -> bytes:
        """See Transport; both directions move at once, so two full buffers never wait for each other."""
        end = time.monotonic() + timeout
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                ready_in, ready_out, _ = select.select([self._read_fd], [self._write_fd] if outgoing else [], [], left)
                if ready_out:
                    del outgoing[: self._write(outgoing)]
                if ready_in:
                    return self._read()
            except (OSError, ValueError) as error:  # ValueError: the descriptor is closed
                raise self._gone() from error
            if not ready_out:
                return b""

    def reopen(self) -> None:
        """See Transport."""
        if self._again:
            self._port.close()
            self.name, port = self._again()
            self._use(port)

    def set_baud(self, baud: int) -> None:
        """See Transport."""
        if hasattr(self._port, "baudrate"):
            with suppress(ValueError, OSError):  # an adapter that cannot: then nothing is understood, which is noticed
                self._port.baudrate = baud

    def close(self) -> None:
        """See Transport."""
        self._port.close()

    def _write(self, outgoing: bytearray) -> int:
        try:
            return os.write(self._write_fd, outgoing[:_WRITE_AT_ONCE])
        except BlockingIOError:
            return 0

    def _read(self) -> bytes:
        try:
            received = os.read(self._read_fd, 1 << 16)
        except BlockingIOError:
            return b""
        if not received:
            raise self._gone()
        return received

    def _gone(self) -> Gone:
        return vanished(self.name, self._last_words())


class PortLine:
    """A transport over pyserial's own read and write, where there is no file descriptor (rfc2217://)."""

    def __init__(self, name: str, port: Any, again: Callable[[], tuple[str, Any]] | None = None) -> None:
        self.name, self.returns = name, again is not None
        self._port, self._again = port, again

    def exchange(self, outgoing: bytearray, timeout: float) -> bytes:
        """See Transport."""
        end = time.monotonic() + timeout
        try:
            if outgoing:
                self._port.write(bytes(outgoing))
                outgoing.clear()
            while True:
                received: bytes = self._port.read(1)  # waits for the port's own short timeout
                if received:
                    return received + bytes(self._port.read(self._port.in_waiting))
                if time.monotonic() >= end:
                    return b""
        except OSError as error:
            raise vanished(self.name) from error

    def reopen(self) -> None:
        """See Transport."""
        if self._again:
            self._port.close()
            self.name, self._port = self._again()

    def set_baud(self, baud: int) -> None:
        """See Transport."""
        with suppress(ValueError, OSError):
            self._port.baudrate = baud

    def close(self) -> None:
        """See Transport."""
        self._port.close()


def vanished(name: str, last_words: str = "") -> Gone:
    """The Problem for a line that was open and is gone."""
    hint = last_words or "a loose cable, a board without power, or a server that closed the connection"
    return Gone(name, "the line is gone", hint, EXIT_DEVICE)
