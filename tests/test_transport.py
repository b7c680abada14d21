"""The string after --port picks the way; real ptys, programs, sockets and an RFC 2217 server carry the bytes."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
import serial.rfc2217
from fake_device import FakeDevice, answer
from serial.tools import list_ports, list_ports_common
from test_emulator import runs

from pipeline import child, ports, transport
from pipeline.device import Device
from pipeline.ports import Settings
from pipeline.problem import EXIT_DEVICE, EXIT_TOOL, EXIT_USER, Problem
from pipeline.transport import connect

WINDOWS = [bytes([number] * 16) for number in range(40)]

PIPE_TO_PTY = """
import os, select, sys
line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
while True:
    for ready in select.select([0, line], [], [])[0]:
        data = os.read(ready, 4096)
        if not data:
            sys.exit()
        os.write(1 if ready == line else line, data)
"""


def answers(port: str) -> None:
    """Run windows over the port and check every answer."""
    device = Device(connect(port))
    try:
        device.hello()
        got = {each.index: each.output for each in device.run(WINDOWS)}
    finally:
        device.close()
    assert got == {index: answer(window, 4) for index, window in enumerate(WINDOWS)}


def problem(port: str) -> Problem:
    with pytest.raises(Problem) as raised:
        connect(port).close()
    return raised.value


@contextmanager
def tcp_server(fake: FakeDevice, rfc2217: bool = False) -> Iterator[int]:
    """One connection to the fake device's pty, raw or with telnet's RFC 2217 around it."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_serve, args=(listener, fake, rfc2217), daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.close()
    thread.join(5)


def _serve(listener: socket.socket, fake: FakeDevice, rfc2217: bool) -> None:
    connection, _ = listener.accept()
    with connection, _PtyPort(fake.path, timeout=0) as port:
        writer = connection.makefile("wb", buffering=0)
        manager = serial.rfc2217.PortManager(port, writer) if rfc2217 else None
        while True:
            for ready in select.select([connection, port], [], [], 5)[0]:
                if ready is port:
                    data = port.read(4096)
                    writer.write(b"".join(manager.escape(data)) if manager else data)
                    continue
                data = connection.recv(4096)
                if not data:
                    return
                port.write(b"".join(manager.filter(data)) if manager else data)


def test_a_device_path() -> None:
    with FakeDevice(credits=2) as fake:
        answers(fake.path)


def test_pty_and_a_path() -> None:
    with FakeDevice() as fake:
        answers(f"pty:{fake.path}")


@pytest.mark.parametrize("words", ["pty: {}", "char device redirected to {} (label serial0)"])
def test_pty_and_a_command_that_prints_it(words: str, tmp_path: Path) -> None:
    with FakeDevice() as fake:
        (tmp_path / "emulator").write_text(f"echo starting\necho '{words.format(fake.path)}'\nexec sleep 60\n")
        answers(f"pty:sh {tmp_path / 'emulator'}")


def test_exec_talks_over_stdin_and_stdout(tmp_path: Path) -> None:
    (tmp_path / "pipe.py").write_text(PIPE_TO_PTY)
    with FakeDevice(credits=4) as fake:
        answers(f"exec:{sys.executable} {tmp_path / 'pipe.py'} {fake.path}")


def test_a_socket() -> None:
    with FakeDevice() as fake, tcp_server(fake) as port:
        answers(f"socket://127.0.0.1:{port}")


def test_an_rfc2217_server() -> None:
    with FakeDevice(credits=2) as fake, tcp_server(fake, rfc2217=True) as port:
        answers(f"rfc2217://127.0.0.1:{port}")


def test_a_server_that_goes_away_is_told() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    line = connect(f"socket://127.0.0.1:{listener.getsockname()[1]}")
    listener.accept()[0].close()
    with pytest.raises(Problem, match="the line is gone"):
        line.exchange(bytearray(), 5)
    line.close()
    listener.close()


def test_both_directions_move_at_once() -> None:
    """More than all buffers hold is sent to a program that answers each byte at once: neither side may block."""
    line, outgoing, received = connect("exec:cat"), bytearray(1_000_000), 0
    end = time.monotonic() + 120
    while received < 1_000_000 and time.monotonic() < end:
        received += len(line.exchange(outgoing, 1))
    line.close()
    assert received == 1_000_000


def test_exchange_returns_empty_when_nothing_comes() -> None:
    line = connect("exec:sleep 30")
    began = time.monotonic()
    assert line.exchange(bytearray(), 0.05) == b""
    assert time.monotonic() - began < 10
    line.close()


def test_no_such_port_lists_or_suggests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "known_ports", lambda: {"/dev/ttyUSB0": "CP2102", "/dev/ttyACM3": "Nano"})
    assert problem("/dev/ttyUSB1").lines() == [
        "error: /dev/ttyUSB1: there is no such port",
        "  hint: did you mean /dev/ttyUSB0?",
    ]
    assert problem("COM7").hint == "there are: /dev/ttyACM3, /dev/ttyUSB0"
    monkeypatch.setattr(ports, "known_ports", dict)
    lost = problem("/dev/ttyUSB1")
    assert (lost.hint, lost.code) == ("no serial port is there: plug the board in", EXIT_DEVICE)


def test_the_only_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "known_ports", lambda: {"/dev/ttyUSB0": "CP2102"})
    assert ports.only_port() == "/dev/ttyUSB0"


def test_no_port_and_two_ports_are_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "known_ports", lambda: {"/dev/ttyACM0": "Nano", "/dev/ttyUSB0": "CP2102"})
    with pytest.raises(Problem) as two:
        ports.only_port()
    assert two.value.lines() == [
        "error: --port: 2 serial ports are there: /dev/ttyACM0 (Nano), /dev/ttyUSB0 (CP2102)",
        "  hint: choose one: --port /dev/ttyACM0",
    ]
    monkeypatch.setattr(ports, "known_ports", dict)
    with pytest.raises(Problem, match="no serial port is there") as none:
        ports.only_port()
    assert none.value.code == two.value.code == EXIT_USER


def test_known_ports_are_asked_of_the_system() -> None:
    assert isinstance(ports.known_ports(), dict)


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    with pytest.raises(Problem, match="no connection") as caught:
        connect(f"socket://127.0.0.1:{number}")
    assert (caught.value.code, caught.value.hint) == (EXIT_DEVICE, "is the server running, host and port right?")


def test_a_busy_port_names_who_has_it() -> None:
    with FakeDevice() as fake:
        first = connect(fake.path)
        busy = problem(fake.path)
        first.close()
    assert (busy.what, busy.code) == ("is in use by another program", EXIT_DEVICE)
    assert busy.hint == "close the other program (a serial monitor?) and try again"


def test_a_busy_port_of_another_process_is_named() -> None:
    lock = "import fcntl, sys, time; f = open(sys.argv[1], 'rb+', 0); fcntl.flock(f, fcntl.LOCK_EX)"
    with FakeDevice() as fake:
        script = f"{lock}; print('pty: /x', flush=True); time.sleep(60)"
        holder = child.Child("holder", f'{sys.executable} -c "{script}" {fake.path}')
        holder.pty_path()
        busy = problem(fake.path)
        holder.close()
    assert busy.what == "is in use by another program"
    assert "(process " in busy.hint and "python" in busy.hint


def test_a_port_without_permission_names_the_group() -> None:
    """Run as a user without rights when the test itself has all of them."""
    with FakeDevice() as fake:
        Path(fake.path).chmod(0)
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                if os.getuid() == 0:
                    os.setuid(65534)
                connect(fake.path)
                os.write(writer, b"opened")
            except Problem as denied:
                os.write(writer, "\n".join([*denied.lines(), str(denied.code)]).encode())
            finally:
                os._exit(0)
        os.wait()
        said = os.read(reader, 1000).decode()
        os.close(reader)
        os.close(writer)
    assert "this user may not open it" in said
    assert "hint: sudo usermod -aG " in said and "$USER, then log out and in" in said
    assert said.endswith(str(EXIT_DEVICE))


def test_what_is_no_serial_port_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert problem(str(tmp_path / "file")).what == "is not a serial port"
    assert problem(str(tmp_path)).what == "is not a serial port"
    assert problem("/dev/null").what == "is not a serial port"
    assert problem("pty:/dev/pts/99999").what == "there is no such port"
    for address in ("socket://", "socket://here", "socket://here:port", "rfc2217://here:99999"):
        assert problem(address).what == "names no host and port"
    assert "protocol 'ssh' not known" in problem("ssh://host:1").what
    assert "Connection refused" in problem("socket://127.0.0.1:1").what
    assert problem("rfc2217://127.0.0.1:1").code == EXIT_DEVICE


def test_a_program_that_does_not_start_is_a_missing_tool() -> None:
    for port in ("exec:qemu-system-none -M x", "pty:qemu-system-none -M x"):
        missing = problem(port)
        assert missing.what == "does not start (No such file or directory)"
        assert missing.hint == "install qemu-system-none, or give its full path"
        assert missing.code == EXIT_TOOL
    assert (problem("exec:").what, problem("exec:").hint) == ("names no command", "as in exec:./device")
    assert "No closing quotation" in problem("exec:sh -c '").what


def test_a_program_that_ends_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = problem("pty:sh -c 'echo no such machine >&2; exit 3'")
    assert ended.what == "ended before it printed a pty"
    assert ended.hint == "the program ended with exit code 3: no such machine"
    monkeypatch.setattr(child, "PTY_SECONDS", 0.1)
    mute = problem("pty:sleep 30")
    assert (mute.what, mute.hint) == ("printed no pty", "it must print a line such as: pty: /dev/pts/3")


def test_a_program_that_ends_in_the_middle_is_quoted() -> None:
    line = connect("exec:sh -c 'read x; echo out of memory >&2; exit 9'")
    with pytest.raises(Problem, match="the line is gone") as gone:
        line.exchange(bytearray(b"go\n"), 5)
    line.close()
    assert gone.value.hint == "the program ended with exit code 9: out of memory"


def test_closing_ends_the_program_and_its_children() -> None:
    line = connect("exec:sh -c 'sleep 300 & echo $!; wait'")
    process = int(line.exchange(bytearray(), 5))
    line.close()
    end = time.monotonic() + 60
    while runs(process) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(process)


def test_the_board_says_how_the_line_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, slept = [], []
    monkeypatch.setattr(transport, "open_port", lambda path, settings: opened.append((path, settings)) or _Pipe())
    monkeypatch.setattr(transport.time, "sleep", slept.append)
    settings = Settings(baud=921600, dtr=False, rts=False, settle_seconds=1.5)
    connect("/dev/ttyUSB9", settings).close()
    assert opened == [("/dev/ttyUSB9", settings)] and slept == [1.5]


def test_dtr_and_rts_are_set_before_the_port_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    at_open = []
    monkeypatch.setattr(
        serial.Serial, "open", lambda port: at_open.append((port.dtr, port.rts, port.baudrate, port.exclusive))
    )
    with FakeDevice() as fake:
        ports.open_port(fake.path, Settings(baud=57600, dtr=False, rts=True))
    assert at_open == [(False, True, 57600, True)]


def test_a_rate_that_an_adapter_cannot_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(port: serial.Serial) -> None:
        raise ValueError("Failed to set custom baud rate (7): [Errno 22] Invalid argument")

    monkeypatch.setattr(serial.Serial, "open", refuse)
    with FakeDevice() as fake, pytest.raises(Problem, match="cannot do 7 baud") as caught:
        ports.open_port(fake.path, Settings(baud=7))
    assert caught.value.hint == "another rate: --baud 115200"


def usb(path: str, serial_number: str | None, location: str) -> list_ports_common.ListPortInfo:
    port = list_ports_common.ListPortInfo(path)
    port.vid, port.pid, port.serial_number, port.location = 0x10C4, 0xEA60, serial_number, location
    return port


def test_a_board_that_comes_back_under_another_name_is_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [usb("/dev/ttyUSB0", "A1", "1-1"), usb("/dev/ttyUSB1", None, "1-2")]
    monkeypatch.setattr(list_ports, "comports", lambda: there)
    numbered, plain = ports.identity("/dev/ttyUSB0"), ports.identity("/dev/ttyUSB1")
    assert numbered and plain and ports.identity("/dev/ttyS0") is None and ports.identity("socket://a:1") is None
    assert ports.find_again("/dev/ttyUSB0", numbered) == "/dev/ttyUSB0"
    there[:] = [usb("/dev/ttyUSB0", None, "1-2"), usb("/dev/ttyUSB2", "A1", "1-7")]  # they changed places
    assert ports.find_again("/dev/ttyUSB0", numbered) == "/dev/ttyUSB2"
    assert ports.find_again("/dev/ttyUSB1", plain) == "/dev/ttyUSB0"
    there.clear()
    assert ports.find_again("/dev/ttyUSB0", numbered) == "/dev/ttyUSB0"
    assert ports.find_again("/dev/ttyS0", None) == "/dev/ttyS0"


class _PtyPort(serial.Serial):
    """A pty for pyserial's RFC 2217 server, which asks for modem lines that ptys do not have."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass


class _Pipe:
    def __init__(self) -> None:
        self._ends = os.pipe()

    def fileno(self) -> int:
        return self._ends[0]

    def close(self) -> None:
        for end in self._ends:
            os.close(end)
