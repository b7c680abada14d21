"""The self-test: no verdict is wrong under any fault, and a harness that were wrong would be found out."""

from __future__ import annotations

import json
import struct
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import echo
import pytest
from fake_build import FakeBuild, fake_build
from fake_device import Faults

from pipeline import build as build_stage
from pipeline import device as device_module
from pipeline import faults, hil, selftest, verdict, wire
from pipeline.board import load_board
from pipeline.emulator import emulate
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.transport import Transport, connect

EMULATED = ["host", "cortex-m4", "esp32"]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    return fake_build(tmp_path)


def self_test(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = hil.main(["--self-test", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_no_verdict_is_wrong_under_any_fault(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    with build.device(credits=4) as fake:
        code, report = self_test(capsys, "--port", fake.path, "--faults", "600", "--seed", "7")
    assert (code, report["wrong_verdicts"], report["seed"]) == (0, 0, 7)
    assert report["faults"] >= 600
    kinds = {each["fault"]: each for each in report["kinds"]}
    assert len(kinds) == 2 * len(faults.LINE) + len(faults.SURVIVED) + len(faults.FATAL) + 1
    assert all(each["rounds"] and each["faults"] for each in kinds.values())
    survived = [kinds[words] for words in faults.SURVIVED.values()]
    assert sum(each["passed"] for each in survived) > 0.8 * sum(each["rounds"] for each in survived)
    assert all(kinds[faults.FATAL[kind]]["passed"] == 0 for kind in ("exchange", "clock", "fault"))


def test_the_table_names_every_fault_and_the_seed(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    with build.device() as fake:
        assert hil.main(["--self-test", "--faults", "1", "--port", fake.path]) == 0
    shown = capsys.readouterr()
    assert all(words in shown.out for words in faults.WORDS.values())
    assert "0 wrong verdicts (seed " in shown.out and "self-test of demo on host, seed" in shown.err


def test_a_device_that_is_wrong_cannot_be_tested_with(build: FakeBuild) -> None:
    with (
        build.device(Faults(wrong_output_at=3)) as fake,
        pytest.raises(Problem, match="needs a device that is right: 1 of 60 windows differ") as raised,
    ):
        hil.main(["--self-test", "--port", fake.path])
    assert raised.value.code == EXIT_DEVICE


def take_anything(block: bytes) -> wire.Frame | None:
    """wire.decode without the CRC."""
    try:
        content = wire.cobs.decode(block)
        return wire.Frame(*struct.unpack_from("<BH", content), content[3:-4])
    except (wire.cobs.DecodeError, struct.error):
        return None


def equal_anyway(outcome: verdict.Outcome, _: Any) -> dict[str, Any]:
    count = len(outcome.asked)
    return {"total": count, "equal": count, "failed": 0, "unanswered": 0, "differing": []}


def test_a_harness_that_did_not_check_would_be_found_out(
    build: FakeBuild, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with build.device(credits=4) as fake, monkeypatch.context() as patch:
        patch.setattr(verdict, "compare", equal_anyway)
        code, report = self_test(capsys, "--port", fake.path, "--faults", "200", "--seed", "1")
    wrong = {each["fault"] for each in report["kinds"] if each["wrong"]}
    assert code == 1 and wrong >= {faults.FATAL["byte"], faults.FATAL["other"]}
    with build.device(credits=4) as fake, monkeypatch.context() as patch:
        patch.setattr(wire, "decode", take_anything)
        code, report = self_test(capsys, "--port", fake.path, "--faults", "200", "--seed", "1")
    assert code == 1 and report["wrong_verdicts"] >= 1
    with build.device(credits=4) as fake, monkeypatch.context() as patch:
        patch.setattr(device_module.Device, "confirm", lambda device, _: device.hello())
        code, report = self_test(capsys, "--port", fake.path, "--faults", "200", "--seed", "1")
    assert [each["fault"] for each in report["kinds"] if each["wrong"]] == [faults.FATAL["exchange"]]


@pytest.mark.parametrize("kind", faults.LINE)
def test_a_fault_of_the_line_changes_bytes_and_is_counted(kind: str) -> None:
    counts: faults.Counter[str] = faults.Counter()
    harm = faults.Harm((kind,), 50.0, Random(3), counts)
    text = Random(4).randbytes(5000)
    arrived = b"".join(harm.apply(text[at : at + 7]) for at in range(0, 5000, 7))
    assert arrived != text and 50 <= counts[kind] <= 160
    longer = {"drop": -1, "double": 1, "insert": 1, "zero": 1, "flip": 0, "swap": 0, "burst": 0}
    if kind in longer:
        assert len(arrived) - len(text) == longer[kind] * counts[kind]


def test_rounds_of_one_seed_are_the_same() -> None:
    first, again = (selftest._turns(5) for _ in range(2))
    assert [next(first).name for _ in range(80)] == [next(again).name for _ in range(80)]


@pytest.mark.parametrize("board", EMULATED)
def test_an_emulator_that_is_ended_and_started_anew_is_a_port_that_returns(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real firmware, really restarted: the RAM is gone, the port has another name, no window is lost."""
    folder = echo.make_project(tmp_path, board)
    monkeypatch.chdir(tmp_path)
    facts = load_board(board)
    assert facts.emulator
    echo.need(*(part for part in facts.emulator.command[:1] if part != "{elf}"))
    assert build_stage.main(["echo", "--board", board, "--runtime", "echo"]) == 0
    sent = [b"\0" + Random(number).randbytes(echo.INPUT_BYTES - 1) for number in range(60)]
    with ExitStack() as stack:

        def start() -> Transport:
            stack.close()
            line = connect(stack.enter_context(emulate(facts, folder)))
            stack.callback(line.close)
            return line

        line = faults.Faulty(start(), Random(2), kinds=("unplug",), power_cycle=start)
        device = device_module.Device(line)
        device.hello()
        line.armed, got = True, {}
        for answer in device.run(sent):
            assert answer.index not in got
            got[answer.index] = answer.output[:-2]
    assert device.stats.returns == line.counts["unplug"] >= 2
    assert got == {number: bytes(255 - byte for byte in window[:14]) for number, window in enumerate(sent)}
