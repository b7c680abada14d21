"""Bytes to and from a device; the string after --port picks the way, nothing above knows which it was."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pipeline.child import Child
from pipeline.ports import Settings, open_port
from pipeline.problem import EXIT_DEVICE, Problem

_WRITE_AT_ONCE = 4096


class Transport(Protocol):
    """A line to a device: bytes in, bytes out."""

    name: str

    def exchange(self, outgoing: bytearray, timeout: float) -> bytes:
        """Send from the front of `outgoing` (taken bytes leave it) until bytes arrive or `timeout` seconds passed."""

    def close(self) -> None:
        """Give the port back and end the program behind it, if there is one."""


def connect(port: str, settings: Settings | None = None) -> Transport:
    """Open `port`: a device path, `exec:COMMAND`, `pty:COMMAND`, `pty:PATH`, socket://HOST:PORT or rfc2217://HOST:PORT."""
    settings = settings or Settings()
    scheme, _, rest = port.partition(":")
    if scheme == "exec":
        return _connect_exec(port, rest)
    if scheme == "pty" and not _is_device(rest):
        return _connect_pty(port, rest, settings)
    return _connect_port(port, rest if scheme == "pty" else port, settings)


def _connect_port(name: str, path: str, settings: Settings, child: Child | None = None) -> Transport:
    port = open_port(path, settings)

    def close() -> None:
        port.close()
        if child:
            child.close()

    time.sleep(settings.settle_seconds)
    if path.startswith("rfc2217://"):
        return PortLine(name, port)
    return Line(name, port.fileno(), port.fileno(), close, child.last_words if child else _no_words)


def _connect_exec(name: str, command: str) -> Transport:
    child = Child(name, command, talks=True)
    return Line(name, child.output, child.input, child.close, child.last_words)


def _connect_pty(name: str, command: str, settings: Settings) -> Transport:
    child = Child(name, command)
    try:
        return _connect_port(name, child.pty_path(), settings, child)
    except BaseException:
        child.close()
        raise


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(Path(path).stat().st_mode)
    except OSError:
        return False


def _no_words() -> str:
    return ""


class Line:
    """A transport over file descriptors: a serial device, a pty, a socket, the pipes of a program."""

    def __init__(
        self, name: str, read_fd: int, write_fd: int, close: Callable[[], None], last_words: Callable[[], str]
    ) -> None:
        self.name = name
        self._read_fd, self._write_fd = read_fd, write_fd
        self._close, self._last_words = close, last_words
        for descriptor in (read_fd, write_fd):
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

    def close(self) -> None:
        """See Transport."""
        self._close()

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

    def _gone(self) -> Problem:
        return vanished(self.name, self._last_words())


class PortLine:
    """A transport over pyserial's own read and write, where there is no file descriptor (rfc2217://)."""

    def __init__(self, name: str, port: Any) -> None:
        self.name = name
        self._port = port

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

    def close(self) -> None:
        """See Transport."""
        self._port.close()


def vanished(name: str, last_words: str = "") -> Problem:
    """The Problem for a line that was open and is gone."""
    hint = last_words or "a loose cable, a board without power, or a server that closed the connection"
    return Problem(name, "the line is gone", hint, EXIT_DEVICE)
