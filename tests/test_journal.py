"""--resume: a run that was broken off goes on where it was, and its report is that of an unbroken run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import HERE, FakeBuild, fake_build, replaced
from fake_device import FakeDevice, Faults

from pipeline import frames, hil, journal
from pipeline.problem import EXIT_DEVICE, EXIT_INTERRUPTED, Problem
from pipeline.verdict import Outcome


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(frames, "RETURN_SECONDS", 0.2)
    return fake_build(tmp_path)


def report_of(build: FakeBuild) -> dict[str, Any]:
    """report.json without what no two runs have in common: port, line, and the fake's ticks, which count its runs."""
    report = json.loads((build.folder / "report.json").read_text())
    return {key: value for key, value in report.items() if key not in ("link", "clock", "port")}


def broken_off(build: FakeBuild, faults: Faults) -> int:
    with build.device(faults, credits=4) as fake:
        assert hil.main(["--port", fake.path]) == EXIT_DEVICE
        return fake.runs


def test_a_resumed_run_sends_no_window_twice_and_reports_as_an_unbroken_one(build: FakeBuild) -> None:
    with build.device(credits=4) as fake:
        assert hil.main(["--port", fake.path]) == 0
    unbroken, outputs = report_of(build), np.load(build.folder / "outputs.npz")["outputs"]
    broken_off(build, Faults(die_at=25))
    done = int(np.load(build.folder / "outputs.npz")["answered"].sum())
    assert 20 <= done < 60
    with build.device(credits=4) as fake:
        assert hil.main(["--port", fake.path, "--resume"]) == 0
        assert fake.runs == 60 - done
    assert report_of(build) == unbroken
    assert (np.load(build.folder / "outputs.npz")["outputs"] == outputs).all()
    assert json.loads((build.folder / "report.json").read_text())["link"]["resumed"] == done
    assert not (build.folder / "journal").exists()


def test_a_killed_harness_is_resumed(build: FakeBuild) -> None:
    argv = [sys.executable, "-m", "pipeline.hil", "--port"]
    with build.device(Faults(slow=0.02)) as fake:
        process = subprocess.Popen([*argv, fake.path], env={**os.environ, "PYTHONPATH": str(HERE)})
        while fake.runs < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = fake.runs
    with build.device() as fake:
        assert hil.main(["--port", fake.path, "--resume"]) == 0
        assert 60 <= before + fake.runs <= 60 + fake.credits + 1
    assert report_of(build)["windows"]["equal"] == 60


def test_ctrl_c_is_resumed(build: FakeBuild) -> None:
    argv = [sys.executable, "-m", "pipeline.hil", "--port"]
    with build.device(Faults(slow=0.02)) as fake:
        process = subprocess.Popen([*argv, fake.path], env={**os.environ, "PYTHONPATH": str(HERE)})
        while fake.runs < 10:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait() == EXIT_INTERRUPTED
    with build.device() as fake:
        assert hil.main(["--port", fake.path, "--resume"]) == 0
        assert fake.runs < 55


def test_without_resume_a_run_starts_anew_and_says_so(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    broken_off(build, Faults(die_at=25))
    with build.device() as fake:
        assert hil.main(["--port", fake.path]) == 0
        assert fake.runs == 60
    assert "of an unfinished run are thrown away (--resume would have gone on with it)" in capsys.readouterr().err


def refusal(fake: FakeDevice, *more: str) -> Problem:
    with pytest.raises(Problem) as raised:
        hil.main(["--port", fake.path, "--resume", *more])
    return raised.value


def test_nothing_to_resume_is_told(build: FakeBuild) -> None:
    with build.device() as fake:
        assert "there is no unfinished run here" in refusal(fake).what


def test_another_run_is_not_resumed(build: FakeBuild) -> None:
    broken_off(build, Faults(die_at=25))
    with build.device() as fake:
        assert "the unfinished run has another choice of windows" in refusal(fake, "--windows", "9").what
    outputs = build.arrays["float_outputs"].copy()
    other = replaced(build, arrays={**build.arrays, "inputs": build.arrays["inputs"][::-1], "float_outputs": outputs})
    with other.device() as fake:
        assert "the unfinished run has another reference.npz" in refusal(fake).what
    (build.folder / "journal").write_text("[1]\n")
    with build.device() as fake:
        assert "is not a journal" in refusal(fake).what


def test_a_second_harness_on_the_same_folder_is_refused(build: FakeBuild) -> None:
    with journal.opened(build.folder / "journal"), build.device() as fake, pytest.raises(Problem) as raised:
        hil.main(["--port", fake.path])
    assert raised.value.what == "another harness is writing here"
    assert (raised.value.code, raised.value.hint) == (
        EXIT_DEVICE,
        "wait until it is done, or write elsewhere: --out DIR",
    )


def test_a_second_harness_on_the_same_port_is_refused(build: FakeBuild, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pipeline.hil", "--port"]
    with build.device(Faults(slow=0.05)) as fake:
        first = subprocess.Popen([*argv, fake.path], env={**os.environ, "PYTHONPATH": str(HERE)})
        while fake.runs < 3:
            time.sleep(0.01)
        with pytest.raises(Problem, match="is in use by another program") as raised:
            hil.main(["--port", fake.path, "--out", str(tmp_path / "other")])
        assert "python" in raised.value.hint
        assert first.wait() == 0


@pytest.mark.parametrize("cut", [1, 5, 15])
def test_a_record_that_was_half_written_is_cut_off(cut: int, tmp_path: Path) -> None:
    path, run = tmp_path / "journal", {"model_id": "00"}
    with journal.opened(path) as book:
        book.begin(run)
        for index in range(5):
            book.note(index, 100 + index, bytes([index] * 4))
    whole = path.stat().st_size
    os.truncate(path, whole - cut)
    with journal.opened(path) as book:
        outcome = Outcome.of(np.arange(9), (4,))
        assert book.replay(run, outcome) == 4
        book.note(7, 107, bytes(4))
    assert path.stat().st_size == whole
    with journal.opened(path) as book:
        outcome = Outcome.of(np.arange(9), (4,))
        assert book.replay(run, outcome) == 5
    assert np.flatnonzero(outcome.answered).tolist() == [0, 1, 2, 3, 7]
    assert outcome.ticks.tolist()[:4] == [100, 101, 102, 103] and outcome.outputs[3].tolist() == [3] * 4


def test_a_flipped_bit_ends_the_replay(tmp_path: Path) -> None:
    path, run = tmp_path / "journal", {"model_id": "00"}
    with journal.opened(path) as book:
        book.begin(run)
        for index in range(5):
            book.note(index, 1, bytes(4))
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    with journal.opened(path) as book:
        assert book.replay(run, Outcome.of(np.arange(9), (4,))) == 3


def test_a_full_disk_ends_the_run_and_keeps_what_was_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    path, run = tmp_path / "journal", {"model_id": "00"}
    with journal.opened(path) as book:
        book.begin(run)
        book.note(0, 1, bytes(4))
        with monkeypatch.context() as patch, pytest.raises(Problem, match="journal: no space left on device"):
            patch.setattr(journal.os, "write", full)
            book.note(1, 1, bytes(4))
        assert book.replay(run, Outcome.of(np.arange(9), (4,))) == 1


def test_the_disk_has_the_answers_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(journal.os, "fdatasync", synced.append)
    monkeypatch.setattr(journal, "SYNC_SECONDS", 0.0)
    with journal.opened(tmp_path / "journal") as book:
        book.note(0, 1, bytes(4))
    assert len(synced) == 1
