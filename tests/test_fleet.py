"""Several boards: windows split or repeated, a column for each, the windows of a board that dies done by the others."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import HERE, FakeBuild, fake_build
from fake_device import FakeDevice, Faults

from pipeline import flight, frames, hil, verify
from pipeline.problem import EXIT_DEVICE, EXIT_INTERRUPTED, EXIT_LIMIT, Problem


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(frames, "RETURN_SECONDS", 0.2)
    return fake_build(tmp_path)


def ports(*devices: FakeDevice) -> list[str]:
    return [word for device in devices for word in ("--port", device.path)]


def run(build: FakeBuild, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = hil.main(list(arguments))
    return code, json.loads((build.folder / "report.json").read_text())


def meet(*devices: FakeDevice, times: int = 10) -> None:
    """The first runs of each device begin when the others have begun theirs, which takes boards that work at once."""
    meeting = threading.Barrier(len(devices), timeout=60)
    for device in devices:
        device.compute = functools.partial(met, device, device.compute, meeting, times)


def met(device: FakeDevice, compute: Callable[[bytes], bytes], meeting: threading.Barrier, times: int, window: bytes
        ) -> bytes:  # fmt: skip
    if device.runs <= times:
        meeting.wait()
    return compute(window)


def test_windows_are_split_over_identical_boards(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    with build.device(credits=2) as one, build.device(credits=2) as two, build.device(credits=2) as odd:
        meet(one, two, odd)
        code, report = run(build, *ports(one, two, odd))
        assert one.runs + two.runs + odd.runs == 60 and min(one.runs, two.runs, odd.runs) >= 10
    assert (code, report["verdict"], report["windows"]["equal"]) == (0, "pass", 60)
    assert [column["port"] for column in report["boards"]] == [one.path, two.path, odd.path]
    assert sum(column["windows"] for column in report["boards"]) == 60
    assert all(column["equal"] == column["windows"] and column["median_ticks"] > 1000 for column in report["boards"])
    assert f"  board 2    {two.path}: {two.runs} of {two.runs} equal, median" in capsys.readouterr().out
    page = (build.folder / "report.html").read_text()
    assert "<h2>Boards</h2>" in page and f'<th class="number">{odd.path}</th>' in page
    assert verify.main([str(build.folder / "evidence")]) == 0


def test_each_board_agrees_on_its_own_rate(build: FakeBuild, patient: None) -> None:
    with build.device(rates=[]) as fast, build.device() as slow:
        code, report = run(build, *ports(fast, slow))
        assert fast.rates == [2_000_000, 0]  # and back again
    assert code == 0 and [column["baud"] for column in report["boards"]] == [2_000_000, 0]
    assert report["link"]["baud"] == 2_000_000 and verify.main([str(build.folder / "evidence")]) == 0


def test_two_boards_work_at_the_same_time(build: FakeBuild) -> None:
    with build.device() as one, build.device() as two:
        meet(one, two, times=25)
        code, _ = run(build, *ports(one, two))
        assert code == 0 and one.runs + two.runs == 60


def test_each_runs_every_window_on_each_board(build: FakeBuild) -> None:
    with build.device() as one, build.device(Faults(wrong_output_at=7)) as two:
        code, report = run(build, "--each", *ports(one, two))
        assert one.runs == two.runs == 60
    assert (code, report["verdict"]) == (EXIT_LIMIT, "fail")
    assert report["windows"]["total"] == 120 and report["windows"]["failed"] == 1
    assert [column["equal"] for column in report["boards"]] == [60, 59]
    assert report["whole_test_split"] and report["statistics"]["interval"]["low"] == pytest.approx(0.7985, abs=1e-3)
    outputs = np.load(build.folder / "outputs.npz")
    assert outputs["asked"].tolist() == [*range(60), *range(60)]
    assert verify.main([str(build.folder / "evidence")]) == 0


def test_a_board_that_dies_hands_its_windows_to_the_others(
    build: FakeBuild, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = {"slow": 0.005}
    with build.device(Faults(die_at=9, **slow), credits=4) as weak, build.device(Faults(**slow), credits=4) as strong:
        code, report = run(build, *ports(weak, strong))
        assert weak.runs < 15 and strong.runs > 45
    assert (code, report["verdict"], report["windows"]["equal"]) == (0, "pass", 60)
    assert report["boards"][1]["windows"] == strong.runs == 60 - report["boards"][0]["windows"]
    assert report["boards"][0]["ended"] == f"{weak.path}: the line is gone"
    assert f"; ended: {weak.path}: the line is gone" in capsys.readouterr().out


def test_a_board_that_goes_mute_last_still_gets_its_window_done(
    build: FakeBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has long been idle by then, and must not have gone home."""
    monkeypatch.setattr(flight, "FIRST_SECONDS", 0.1)
    with build.device(Faults(mute_at=0)) as mute, build.device() as good:
        code, report = run(build, *ports(mute, good))
        assert good.runs == 60
    assert (code, report["windows"]["equal"]) == (0, 60)
    assert "no good answer to window 0 in 8 tries" in report["boards"][0]["ended"]


def test_when_all_boards_die_the_run_fails_and_is_resumed(build: FakeBuild) -> None:
    with build.device(Faults(die_at=9)) as one, build.device(Faults(die_at=9)) as two:
        code, report = run(build, *ports(one, two))
    assert (code, report["verdict"]) == (EXIT_DEVICE, "failed")
    assert report["windows"]["equal"] == 18 and report["windows"]["unanswered"] == 42
    assert "the line is gone" in report["reasons"][0]
    with build.device() as one, build.device() as two:
        code, report = run(build, *ports(one, two), "--resume")
        assert one.runs + two.runs == 42
    assert (code, report["windows"]["equal"], report["link"]["resumed"]) == (0, 60, 18)


def test_each_fails_when_one_board_dies(build: FakeBuild) -> None:
    with build.device(Faults(die_at=9)) as one, build.device() as two:
        code, report = run(build, "--each", *ports(one, two))
    assert (code, report["verdict"]) == (EXIT_DEVICE, "failed")
    assert [column["equal"] for column in report["boards"]] == [9, 60]


def test_other_firmware_on_one_board_is_never_a_pass(build: FakeBuild) -> None:
    with build.device(Faults(other_id_after=3)) as one, build.device() as two:
        code, report = run(build, *ports(one, two))
    assert (code, report["verdict"]) == (EXIT_DEVICE, "failed")
    assert "the firmware changed during the run" in report["reasons"][0]


def test_until_sure_stops_all_boards(build: FakeBuild) -> None:
    build = fake_build(build.root, count=400)
    with build.device(credits=2) as one, build.device(credits=2) as two:
        code, report = run(build, *ports(one, two), "--until-sure", "0.7")
        assert one.runs + two.runs < 300
    assert (code, report["until_sure"]["decided"], report["windows"]["unanswered"]) == (0, "above", 0)


def test_ctrl_c_ends_all_boards_and_keeps_what_was_done(build: FakeBuild) -> None:
    argv = [sys.executable, "-m", "pipeline.hil"]
    with build.device(Faults(slow=0.05)) as one, build.device(Faults(slow=0.05)) as two:
        process = subprocess.Popen([*argv, *ports(one, two)], env={**os.environ, "PYTHONPATH": str(HERE)})
        while one.runs + two.runs < 10:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == EXIT_INTERRUPTED
    report = json.loads((build.folder / "report.json").read_text())
    assert report["verdict"] == "partial" and 8 <= report["windows"]["equal"] < 60


def test_boards_that_are_not_alike_are_refused(build: FakeBuild) -> None:
    with build.device() as one, build.device(board="nano") as two, pytest.raises(Problem) as raised:
        hil.main(ports(one, two))
    assert raised.value.what == f"has board nano, {one.path} has host"
    assert raised.value.hint == "several ports are for identical boards: flash them alike"


def test_mistakes_with_ports_are_told(build: FakeBuild) -> None:
    with build.device() as one, build.device() as two:
        with pytest.raises(Problem, match="is named twice"):
            hil.main(ports(one, one))
        with pytest.raises(Problem, match="a run on each board keeps no journal to resume"):
            hil.main(["--each", "--resume", *ports(one, two)])
