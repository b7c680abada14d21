"""A user's own tests and notebooks talk to a board: the fixture `device`, and live.connect()."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_build import HERE, FakeBuild, fake_build

from pipeline import live, metrics
from pipeline.problem import Problem


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    return fake_build(tmp_path)


def user_tests(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, as a user runs it."""
    Path("test_mine.py").write_text(text)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "pipeline.pytest_plugin", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTEST_ADDOPTS": ""}
    return subprocess.run([*argv, "test_mine.py"], capture_output=True, text=True, env=environment, timeout=120)


def readme_example() -> str:
    """The five lines of the README."""
    return str(re.search(r"```python\n(def test_.*?)```", (HERE / "README.md").read_text(), re.DOTALL)[1])  # type: ignore[index]


def test_the_readmes_five_lines_test_a_board(build: FakeBuild) -> None:
    example = readme_example()
    assert len(example.strip().splitlines()) <= 5
    with build.device(credits=2) as fake:
        done = user_tests(example, "--hil-port", fake.path)
        assert fake.runs == 60
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_fixture_is_skipped_without_a_board(build: FakeBuild) -> None:
    done = user_tests("def test_it(device):\n    assert device.info\n", "-rs")
    assert done.returncode == 0 and "no board: give --hil-port or --hil-board" in done.stdout


def test_a_board_that_is_not_there_is_said_in_the_harness_own_words(build: FakeBuild) -> None:
    done = user_tests("def test_it(device):\n    assert device.info\n", "--hil-port", "/dev/ttyNONE")
    assert done.returncode == 1 and "1 error" in done.stdout
    assert "error: /dev/ttyNONE: " in done.stdout and "Traceback" not in done.stdout and "live.py" not in done.stdout


def test_the_fixture_emulates_a_board_once_for_all_tests(build: FakeBuild) -> None:
    text = (
        "def test_info(device):\n    assert device.info.model == 'demo'\n"
        "def test_run(device):\n    reference = device.built.reference\n"
        "    assert (device.run(reference['inputs'][5]) == reference['outputs'][5]).all()\n"
    )
    with build.device() as fake:
        elf = build.folder / "firmware.elf"
        elf.write_text(f"#!/bin/sh\necho 'pty: {fake.path}'\necho x >> starts\nexec sleep 60\n")
        elf.chmod(0o755)
        done = user_tests(text, "--hil-board", "host")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert Path("starts").read_text() == "x\n"


def test_int8_windows_give_int8_answers_and_real_ones_real(build: FakeBuild) -> None:
    inputs, outputs = build.arrays["inputs"], build.arrays["outputs"]
    with build.device() as fake, live.connect(fake.path) as device:
        assert device.info.board == "host" and device.built.name == "demo"
        assert (device.stream(inputs[:9]) == outputs[:9]).all() and device.run(inputs[3]).dtype == np.int8
        real = device.stream(metrics.dequantize(inputs[:9], build.quantize["input"]))
        assert np.array_equal(real, metrics.dequantize(outputs[:9], build.quantize["output"]))


def test_int16_windows_give_int16_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build = fake_build(tmp_path, wide=True)
    inputs, outputs = (build.arrays[f"{edge}s"].view("<i2") for edge in ("input", "output"))
    windows = inputs.reshape(-1, 8, 2)
    with build.device() as fake, live.connect(fake.path) as device:
        answer = device.run(windows[3])
        assert answer.dtype == np.int16 and np.array_equal(answer, outputs[3])
        real = device.stream(windows[:9] * np.float32(build.quantize["input"]["scale"]))
        assert np.array_equal(real, outputs[:9] * np.float32(build.quantize["output"]["scale"]))
        assert np.array_equal(device.follow(windows[5:6])[0], outputs[5])
        with pytest.raises(
            Problem, match=r"takes windows \(8, 2\) of int16 or real numbers, these are \(32,\) of int8"
        ):
            device.run(build.arrays["inputs"][0])


def test_windows_that_do_not_fit_are_refused(build: FakeBuild) -> None:
    with build.device() as fake, live.connect(fake.path) as device:
        for wrong in (np.zeros((8, 3), np.int8), np.zeros((8, 2), np.int32)):
            with pytest.raises(Problem, match=r"takes windows \(8, 2\) of int8 or real numbers, these are"):
                device.run(wrong)
        assert fake.received == 0
