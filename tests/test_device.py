"""A device on a real pty, with every fault the line or the firmware can have: right bytes once each, or the reason."""

from __future__ import annotations

import dataclasses
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_device import FakeDevice, Faults, answer
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import device as device_module
from pipeline import flight, frames
from pipeline.device import Device
from pipeline.noise import describe, likely_cause
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.transport import connect


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines short enough for tests of silence."""
    monkeypatch.setattr(device_module, "HELLO_SECONDS", 2.0)
    monkeypatch.setattr(device_module, "HELLO_EVERY", 0.1)
    monkeypatch.setattr(flight, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.05)


def some_windows(count: int, size: int = 16) -> list[bytes]:
    return [random.Random(number).randbytes(size) for number in range(count)]


def run_all(fake: FakeDevice, windows: list[bytes]) -> tuple[Device, list[int]]:
    """Run all; assert that each came once with its own bytes; return the device and the ticks."""
    device = Device(connect(fake.path))
    try:
        device.hello()
        answers = list(device.run(windows))
    finally:
        device.close()
    assert sorted(each.index for each in answers) == list(range(len(windows)))
    assert all(each.output == answer(windows[each.index], fake.output_bytes) for each in answers)
    return device, [each.ticks for each in answers]


def problem_of(fake: FakeDevice, windows: list[bytes]) -> Problem:
    device = Device(connect(fake.path))
    try:
        with pytest.raises(Problem) as raised:
            device.hello()
            list(device.run(windows))
    finally:
        device.close()
    assert raised.value.code == EXIT_DEVICE
    return raised.value


@pytest.mark.parametrize("credits", [1, 2, 4])
def test_every_window_is_answered_once_and_credits_are_kept(credits: int, patient: None) -> None:
    with FakeDevice(credits=credits) as fake:
        device, _ = run_all(fake, some_windows(300))
        assert fake.runs == fake.received == 300
        assert fake.most_waiting <= credits
        assert (device.stats.retries, device.stats.stale, device.stats.damaged) == (0, 0, 0)


def test_seq_wraps_and_is_never_ffff() -> None:
    with FakeDevice(credits=4) as fake:
        device = Device(connect(fake.path))
        device._seq = 0xFFFA
        device.hello()
        windows = some_windows(20)
        assert {each.index: each.output for each in device.run(windows)} == {
            index: answer(window, 4) for index, window in enumerate(windows)
        }
        device.close()


def test_no_windows_is_no_work() -> None:
    with FakeDevice() as fake:
        run_all(fake, [])
        assert fake.received == 0


def test_a_second_run_goes_on_where_the_first_ended() -> None:
    with FakeDevice(credits=2) as fake:
        device = Device(connect(fake.path))
        windows = some_windows(10)
        for _ in range(2):
            assert len(list(device.run(windows))) == 10
        device.close()


LINES = {
    "drops answers": Faults(drop_every=251),
    "drops questions": Faults(drop_sent_every=307),
    "flips answers": Faults(flip_every=149),
    "flips questions": Faults(flip_sent_every=211),
    "inserts zeros": Faults(zero_every=97),
    "both ways": Faults(drop_every=301, flip_sent_every=401),
    "duplicates": Faults(duplicate=True),
    "late duplicates": Faults(late_duplicate=True),
    "reorders": Faults(reverse=True),
    "talks": Faults(greeting=b"ESP-ROM:esp32 boot\r\nok\r\n", babble=b"I (12) log\r\n"),
    "talks without line ends": Faults(greeting=b"\xff\xfe noise"),
    "resets": Faults(reset_at=7),
    "wrong input once": Faults(wrong_crc_at=5),
}


@pytest.mark.parametrize("credits", [1, 4])
@pytest.mark.parametrize("faults", LINES.values(), ids=LINES.keys())
def test_a_bad_line_costs_time_but_no_window(faults: Faults, credits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.1)
    with FakeDevice(credits=credits, faults=faults) as fake:
        device, _ = run_all(fake, some_windows(120))
    stats = device.stats
    expected = {
        "drop_every": stats.damaged,
        "flip_every": stats.damaged,
        "zero_every": stats.damaged,
        "drop_sent_every": stats.refused,
        "flip_sent_every": stats.refused,
        "duplicate": stats.stale,
        "late_duplicate": stats.stale,
        "reset_at": stats.retries,
        "wrong_crc_at": stats.wrong_input,
    }
    for name, counted in expected.items():
        if getattr(faults, name) != getattr(Faults(), name):
            assert counted > 0, name


@settings(max_examples=25)
@given(
    st.builds(
        Faults,
        drop_every=st.sampled_from([0, 40, 83, 200]),
        drop_sent_every=st.sampled_from([0, 60, 120, 333]),
        flip_every=st.sampled_from([0, 45, 77, 150]),
        flip_sent_every=st.sampled_from([0, 70, 180]),
        zero_every=st.sampled_from([0, 64, 190]),
        duplicate=st.booleans(),
        babble=st.sampled_from([b"", b"log\n", b"x"]),
    ),
    st.sampled_from([1, 2, 4]),
)
def test_never_a_wrong_or_lost_window(faults: Faults, credits: int) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(flight, "FIRST_SECONDS", 0.1)
    patch.setattr(flight, "SHORTEST_SECONDS", 0.03)
    patch.setattr(device_module, "HELLO_SECONDS", 0.5)
    patch.setattr(device_module, "HELLO_EVERY", 0.02)
    windows, got = some_windows(15), {}
    with FakeDevice(credits=credits, faults=faults) as fake:
        device = Device(connect(fake.path))
        try:
            device.hello()
            for each in device.run(windows):
                assert each.index not in got
                got[each.index] = each.output
            whole = True
        except Problem as problem:
            whole = False
            assert problem.code == EXIT_DEVICE
        finally:
            device.close()
            patch.undo()
    assert all(output == answer(windows[index], 4) for index, output in got.items())
    assert not whole or len(got) == len(windows)


def test_a_slow_device_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.05)
    with FakeDevice(credits=2, faults=Faults(slow=0.5)) as fake:
        device, _ = run_all(fake, some_windows(6))
        assert device.stats.retries == 0


def test_a_repeated_window_is_not_run_again(hurried: None) -> None:
    with FakeDevice(faults=Faults(drop_every=199)) as fake:
        device, _ = run_all(fake, some_windows(100))
        assert device.stats.retries > 0
        assert fake.runs == 100


def test_big_windows_and_answers_both_ways_do_not_lock_up() -> None:
    with FakeDevice(input_bytes=40_000, output_bytes=30_000, credits=4) as fake:
        run_all(fake, some_windows(8, 40_000))


def test_silence_is_told(hurried: None) -> None:
    with FakeDevice(faults=Faults(silent=True)) as fake:
        problem = problem_of(fake, [])
    assert problem.lines() == [
        f"error: {fake.path}: no answer to HELLO in 2 s; no other byte arrived",
        "  hint: is it the right port, is the firmware flashed? Press the board's reset button and try again",
    ]


def test_what_did_arrive_is_shown(hurried: None) -> None:
    with FakeDevice(faults=Faults(greeting=b"waiting for download\r\n", mute_at=0, drop_sent_every=1)) as fake:
        problem = problem_of(fake, [])
    assert "22 bytes arrived that are no frames, the last: 77 61 69 74" in problem.what
    assert "|waiting for download..|" in problem.what
    assert problem.hint == "the chip waits for a download: release BOOT and press reset"


@pytest.mark.parametrize(
    ("noise", "cause"),
    [
        (b"hello world, temperature 21\r\n", "another program runs on the board"),
        (b"\x80\xf8\x00\x1e\x98\xe0", "a wrong baud rate (--baud)"),
        (b"rst:0x10\r\ninvalid header: 0xffffffff\r\n", "no firmware in its flash"),
        (b"Guru Meditation Error: Core 0 panic'ed", "the firmware crashed"),
        (b"Brownout detector was triggered", "the supply is too weak"),
        (b"raspberrypi login: ", "a computer's console"),
        (b"\r\n>>> ", "MicroPython"),
        (b"m-ready\r\n", "MLPerf Tiny"),
    ],
)
def test_noise_hints_at_its_cause(noise: bytes, cause: str) -> None:
    assert cause in likely_cause(noise)
    assert f"{len(noise)} bytes arrived" in describe(noise)


def test_going_silent_in_the_middle_keeps_what_was_done(hurried: None) -> None:
    with FakeDevice(faults=Faults(mute_at=10)) as fake:
        device, got = Device(connect(fake.path)), []
        with pytest.raises(Problem, match=r"no good answer to window \d+ in 8 tries; no other byte arrived") as raised:
            for each in device.run(some_windows(30)):
                got.append(each.index)
        device.close()
    assert got == list(range(len(got))) and 5 <= len(got) <= 10  # 10, but for what a busy machine sends twice
    assert f"window {len(got)} " in raised.value.what and raised.value.code == EXIT_DEVICE


def test_a_vanishing_port_is_told() -> None:
    with FakeDevice(faults=Faults(die_at=10)) as fake:
        device, got = Device(connect(fake.path)), []
        with pytest.raises(Problem, match="the line is gone") as raised:
            for each in device.run(some_windows(30)):
                got.append(each.index)
        device.close()
    assert got == list(range(10))
    assert "loose cable" in raised.value.hint and raised.value.code == EXIT_DEVICE


@contextmanager
def port_of(fake: FakeDevice, port: Path) -> Iterator[Device]:
    """The device behind a link that can be pointed at another one, as udev does."""
    port.symlink_to(fake.path)
    device = Device(connect(str(port)))
    device.hello()
    try:
        yield device
    finally:
        device.close()


def plug(fake: FakeDevice, port: Path) -> None:
    port.unlink()
    port.symlink_to(fake.path)


@pytest.mark.parametrize("credits", [1, 4])
def test_a_port_that_vanishes_and_returns_costs_no_window(credits: int, tmp_path: Path) -> None:
    windows, port = some_windows(40), tmp_path / "tty"
    with (
        FakeDevice(credits=credits, faults=Faults(die_at=10)) as first,
        FakeDevice(credits=credits, faults=Faults(greeting=b"boot\r\n")) as second,
        port_of(first, port) as device,
    ):
        threading.Timer(0.3, plug, (second, port)).start()
        answers = list(device.run(windows))
        assert (device.stats.returns, device.stats.restarts) == (1, 0)
        assert first.runs + second.runs <= 40 + credits
    assert sorted(each.index for each in answers) == list(range(40))
    assert all(each.output == answer(windows[each.index], 4) for each in answers)


def test_a_port_that_returns_with_other_firmware_ends_the_run(tmp_path: Path) -> None:
    port = tmp_path / "tty"
    with (
        FakeDevice(faults=Faults(die_at=10)) as first,
        FakeDevice(model_id=bytes(8)) as second,
        port_of(first, port) as device,
    ):
        threading.Timer(0.1, plug, (second, port)).start()
        with pytest.raises(Problem, match="the firmware changed during the run: it was b5d54c39, now it is 00000000"):
            list(device.run(some_windows(40)))


def test_a_port_that_stays_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "RETURN_SECONDS", 0.3)
    with (
        FakeDevice(faults=Faults(die_at=10)) as fake,
        port_of(fake, tmp_path / "tty") as device,
        pytest.raises(Problem, match=r"the line is gone, and did not come back in 0\.3 s") as raised,
    ):
        list(device.run(some_windows(40)))
    assert "loose cable" in raised.value.hint and raised.value.code == EXIT_DEVICE


def test_a_device_that_restarts_is_greeted_anew() -> None:
    with FakeDevice(credits=2, faults=Faults(reset_at=7)) as fake:
        device, _ = run_all(fake, some_windows(30))
    assert device.stats.restarts == 1


def test_another_model_after_a_restart_ends_the_run() -> None:
    with FakeDevice(credits=2, faults=Faults(reset_at=7, other_firmware=True)) as fake:
        problem = problem_of(fake, some_windows(30))
    assert "the firmware changed during the run: it was b5d54c39, now it is 00000000" in problem.what


def test_confirm_names_the_first_fact_that_is_not_as_before() -> None:
    with FakeDevice() as fake:
        device = Device(connect(fake.path))
        info = device.hello()
        device.confirm(dataclasses.replace(info, reset_cause="watchdog"))
        with pytest.raises(Problem, match="its kernel build was gcc 1, now it is fake kernels"):
            device.confirm(dataclasses.replace(info, kernel_build="gcc 1"))
        device.close()


def test_a_window_that_always_crashes_the_device_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.05)
    monkeypatch.setattr(flight, "FIRST_SECONDS", 0.1)
    with FakeDevice(faults=Faults(reset_every=2)) as fake:
        what = problem_of(fake, some_windows(9)).what
    assert re.search(r"no good answer to window \d in 8 tries \([1-4] restarts?\)", what), what  # 1 and 4, if in time


def test_a_device_that_restarts_again_and_again_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.05)
    monkeypatch.setattr(flight, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(device_module, "INTERRUPTIONS", 3)
    with FakeDevice(faults=Faults(reset_every=5)) as fake:
        what = problem_of(fake, some_windows(90)).what
    assert "the device restarted again and again, 4 times in this run" in what


@pytest.mark.parametrize(
    ("faults", "what"),
    [
        (Faults(fault_at=3), "the device reports a fault at window 3: runtime: tensor arena too small"),
        (Faults(refuse_at=3), "the device refuses window 3: length: 16 bytes wanted"),
        (Faults(short_at=3), "the device answered 3 output bytes, its INFO says 4"),
        (Faults(stuck_clock=True), "its clock did not advance during window 0"),
        (Faults(wrong_crc_at=2, wrong_crc_times=99), "no good answer to window 2 in 8 tries (8 wrong inputs)"),
        (Faults(hello_error=True), "the device refuses HELLO: protocol: protocol 1 is not known"),
        (Faults(hello_garbled=True), "the device sent an INFO whose strings are cut short"),
    ],
)
def test_a_broken_device_ends_the_run_with_its_reason(faults: Faults, what: str) -> None:
    with FakeDevice(faults=faults) as fake:
        assert what in problem_of(fake, some_windows(20)).what


@pytest.mark.parametrize("stop", [Problem("line", "is gone"), KeyboardInterrupt()])
def test_an_answer_is_kept_when_the_next_send_finds_the_line_gone(stop: BaseException) -> None:
    with FakeDevice() as fake:
        device, got = Device(connect(fake.path)), []
        device.hello()
        exchange, sends = device._frames.transport.exchange, []

        def breaking(outgoing: bytearray, timeout: float) -> bytes:
            sends.extend([1] if outgoing else [])
            if len(sends) > 5:
                raise stop
            return exchange(outgoing, timeout)

        device._frames.transport.exchange = breaking
        with pytest.raises(type(stop)):
            got.extend(answer.index for answer in device.run(some_windows(10)))
        device.close()
    assert got == list(range(5))


def test_answers_before_a_fault_are_kept() -> None:
    with FakeDevice(credits=4, faults=Faults(fault_at=6)) as fake:
        device, got = Device(connect(fake.path)), []
        with pytest.raises(Problem, match="fault at window 6"):
            for each in device.run(some_windows(20)):
                got.append(each.index)
        device.close()
    assert got == list(range(6))


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"protocol": 2}, "the device speaks protocol 2, this harness speaks 1"),
        ({"clock_hz": 0}, "has a clock of 0 Hz"),
        ({"clock_kind": 7}, "unknown (7) kind"),
        ({"credits": 0}, "gives no credits"),
    ],
)
def test_refuses_a_device_it_cannot_work_with(facts: dict[str, int], what: str) -> None:
    with FakeDevice(**facts) as fake:
        assert what in problem_of(fake, []).what


def test_a_window_of_the_wrong_size_is_never_sent() -> None:
    with FakeDevice() as fake:
        assert "window 0 has 15 bytes, the device's model takes 16" in problem_of(fake, [bytes(15)]).what
        assert fake.received == 0


def test_an_echoing_line_is_recognised() -> None:
    device = Device(connect("exec:cat"))
    with pytest.raises(Problem, match="the line echoes what is sent"):
        device.hello()
    device.close()


def test_answers_of_an_earlier_session_are_dropped() -> None:
    with FakeDevice(credits=4, faults=Faults(slow=0.02)) as fake:
        first = Device(connect(fake.path))
        next(iter(first.run(some_windows(10))))
        second = Device(first._frames.transport)  # the port stays open; answers to the first are still on their way
        second.hello()
        assert second.stats.stale > 0
        windows = some_windows(10)[::-1]
        assert {each.index: each.output for each in second.run(windows)} == {
            index: answer(window, 4) for index, window in enumerate(windows)
        }
        second.close()
