"""The line's rate: agreed on where both sides and the line can, given up where nothing is understood any more."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import echo
import pytest
from echo import ERROR, HELLO, frame
from fake_device import FakeDevice

from pipeline import build, flight, speed, wire
from pipeline.board import load_board
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.transport import Line, connect

WINDOWS = [b"\0" + Random(number).randbytes(echo.INPUT_BYTES - 1) for number in range(200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The native firmware: its port makes noise of what is sent at another rate than its own, as a wire does."""
    root = tmp_path_factory.mktemp("speed")
    folder = echo.make_project(root, "host")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert build.main(["echo", "--board", "host", "--runtime", "echo"]) == 0
        yield folder


@pytest.fixture
def device(folder: Path) -> Iterator[Device]:
    with emulate(load_board("host"), folder) as path:
        opened = Device(connect(path))
        yield opened
        opened.close()


def line_of(device: Device) -> Line:
    line = device._frames.transport
    assert isinstance(line, Line)
    return line


def all_right(device: Device) -> bool:
    answers = {each.index: each.output[:-2] for each in device.run(WINDOWS)}
    return answers == {number: bytes(255 - byte for byte in window[:14]) for number, window in enumerate(WINDOWS)}


@pytest.mark.parametrize(("most", "agreed"), [(115_200, 115_200), (500_000, 460_800), (1_000_000, 921_600)])
def test_the_fastest_rate_that_both_can_is_agreed_on(device: Device, most: int, agreed: int, patient: None) -> None:
    """The native port makes no 1,000,000 baud: that is refused, and the next is taken."""
    assert speed.speed_up(device, device.hello(), 115_200, most) == agreed
    assert line_of(device)._port.baudrate == agreed
    assert all_right(device) and device.stats.retries == 0


def test_the_line_is_at_its_usual_rate_again_afterwards(device: Device, patient: None) -> None:
    with speed.agreed(device, device.hello(), 115_200, 2_000_000) as baud:
        assert baud == 2_000_000 and all_right(device)
    assert line_of(device)._port.baudrate == 115_200
    assert all_right(device) and (device.stats.retries, device.stats.slower) == (0, 0)


def test_a_rate_at_which_the_line_is_noise_is_not_taken(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind an adapter that says yes to 2 Mbaud and cannot."""
    monkeypatch.setattr(speed, "SECONDS", 2.0)
    port, cannot = line_of(device)._port, {2_000_000, 921_600}
    set_baud = lambda baud: setattr(port, "baudrate", 57_600 if baud in cannot else baud)  # noqa: E731
    monkeypatch.setattr(line_of(device), "set_baud", set_baud)
    assert speed.speed_up(device, device.hello(), 115_200, 2_000_000) == 460_800
    assert all_right(device)


def test_a_port_that_refuses_a_rate_leads_to_the_next(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a driver that knows only the usual rates; the device has changed already and is found again."""
    monkeypatch.setattr(speed, "SECONDS", 2.0)
    line = line_of(device)

    class Port:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def __setattr__(self, name: str, value: int) -> None:
            if value in (2_000_000, 921_600):
                raise ValueError(f"Failed to set custom baud rate ({value})")
            real.baudrate = value

    real = line._port
    monkeypatch.setattr(line, "_port", Port())
    assert speed.speed_up(device, device.hello(), 115_200, 2_000_000) == 460_800
    assert all_right(device)


def test_a_rate_that_fails_during_the_run_is_given_up(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.25)
    monkeypatch.setattr(speed, "SECONDS", 30.0)
    info = device.hello()
    assert speed.speed_up(device, info, 115_200, 921_600) == 921_600
    answers = {}
    for answer in device.run(WINDOWS):
        answers[answer.index] = answer.output[:-2]
        if answer.index == 50:  # from here on the adapter runs at another rate than it was told
            line_of(device)._port.baudrate = 460_800
    assert len(answers) == 200 and device.stats.slower == 1
    assert line_of(device)._port.baudrate == 115_200


def test_a_harness_that_crashed_leaves_a_device_that_the_next_one_finds(folder: Path) -> None:
    with emulate(load_board("host"), folder) as path:
        first = Device(connect(path))
        assert speed.speed_up(first, first.hello(), 115_200, 921_600) == 921_600
        first.close()  # without a word
        second = Device(connect(path))
        second.hello()
        assert all_right(second)
        second.close()


def test_a_device_that_cannot_change_its_rate_stays_at_it() -> None:
    with FakeDevice() as fake:
        device = Device(connect(fake.path))
        assert speed.speed_up(device, device.hello(), 115_200, 2_000_000) == 115_200
        assert [each.index for each in device.run([bytes(16)])] == [0]
        device.close()


def compiled(folder: Path, *more: str) -> Path:
    sources = [*(echo.PROJECT / "firmware" / "core").glob("*.c"), echo.FIXTURES / "echo_runtime" / "runtime.c"]
    sources += [echo.FIXTURES / "pipe_port" / "port.c", *map(Path, more)]
    argv = ["gcc", "-std=gnu11", *echo.include_flags(), *map(str, sources), "-o", str(folder / "device")]
    subprocess.run(argv, check=True)
    return folder / "device"


def talk(program: Path, line: bytes) -> list[tuple[int, int, bytes]]:
    done = subprocess.run([program], input=line, capture_output=True, timeout=60, check=True)
    return [echo.parse(raw) for raw in done.stdout.split(b"\0")[:-1]]


def test_baud_is_of_unknown_type_where_the_port_has_one_rate(tmp_path: Path) -> None:
    ((kind, seq, body),) = talk(compiled(tmp_path), frame(wire.BAUD, 5, struct.pack("<I", 921_600)))
    assert (kind, seq, body[:2]) == (ERROR, 5, b"\x00\x03")


def test_baud_is_answered_before_the_rate_changes_and_eight_broken_frames_lead_back(tmp_path: Path) -> None:
    (tmp_path / "rates.c").write_text(
        '#include "port.h"\n#include <stdio.h>\n'
        "int port_takes_baud(uint32_t baud) { return baud == 0 || baud == 921600; }\n"
        "void port_set_baud(uint32_t baud) { char t[16]; port_write((const uint8_t *)t, "
        '(size_t)sprintf(t, "<%u>", (unsigned)baud)); }\n'
    )
    program = compiled(tmp_path, str(tmp_path / "rates.c"))
    broken = b"\x05abcd\0"
    ask = frame(wire.BAUD, 5, struct.pack("<I", 921_600))
    hello = frame(HELLO, 6, b"\1")
    said = subprocess.run([program], input=ask + broken * 7 + hello + broken * 7, capture_output=True).stdout
    assert said.startswith(frame(wire.BAUD_ANSWER, 5, struct.pack("<I", 921_600)) + b"<921600>") and b"<0>" not in said
    said = subprocess.run([program], input=ask + broken * 8 + broken * 8 + hello, capture_output=True).stdout
    assert said.count(b"<0>") == 1
    wrong, other = talk(program, frame(wire.BAUD, 5, b"ab") + frame(wire.BAUD, 6, struct.pack("<I", 1_000_000)))
    assert (wrong[1], wrong[2]) == (5, b"\x00\x02BAUD has a body of 4 bytes")
    assert (other[1], other[2]) == (6, b"\x00\x09this port cannot make that rate")
