"""python -m pipeline.hil from the command line: verdicts, exit codes, what is kept when a run does not end well."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import HERE, FakeBuild, fake_build, replaced, write
from fake_device import FakeDevice, Faults

from pipeline import device as device_module
from pipeline import hil, ports, sample
from pipeline.problem import EXIT_DEVICE, EXIT_INTERRUPTED, EXIT_LIMIT, EXIT_USER, Problem, Problems


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device_module, "HELLO_SECONDS", 1.0)
    return fake_build(tmp_path)


def run(build: FakeBuild, fake: FakeDevice, *more: str) -> tuple[int, dict[str, Any]]:
    code = hil.main(["--port", fake.path, *more])
    return code, json.loads((build.folder / "report.json").read_text())


def refusal(build: FakeBuild, faults: Faults | None = None, *more: str, **facts: Any) -> list[str]:
    with build.device(faults, **facts) as fake, pytest.raises((Problem, Problems)) as raised:
        hil.main(["--port", fake.path, *more])
    assert not (build.folder / "report.json").exists()
    return [line.replace(fake.path, "PORT") for line in raised.value.lines()]


def command(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    argv = [sys.executable, "-m", "pipeline.hil", *arguments]
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs the tests may ignore Ctrl-C
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(argv, **pipes, text=True, env=environment, preexec_fn=heed)


@pytest.mark.parametrize("credits", [1, 4])
def test_a_right_device_passes(build: FakeBuild, credits: int, capsys: pytest.CaptureFixture[str]) -> None:
    with build.device(credits=credits) as fake:
        code, report = run(build, fake)
    assert (code, report["verdict"], report["reasons"]) == (0, "pass", [])
    assert report["windows"] == {"total": 60, "equal": 60, "failed": 0, "unanswered": 0, "differing": []}
    assert report["metrics"]["device"] == report["metrics"]["int8"] == build.quantize["metrics"]["int8"]
    assert not report["emulated"]
    assert "PASS  demo 5f1c02ab on host" in capsys.readouterr().out
    outputs = np.load(build.folder / "outputs.npz")
    assert (outputs["outputs"] == build.arrays["outputs"]).all() and outputs["answered"].all()


def test_one_wrong_byte_fails(build: FakeBuild) -> None:
    with build.device(Faults(wrong_output_at=7)) as fake:
        code, report = run(build, fake)
    assert (code, report["verdict"]) == (EXIT_LIMIT, "fail")
    assert report["windows"]["equal"] == 59 and report["windows"]["failed"] == 1
    assert report["windows"]["differing"] == [{"index": 7, "bytes": 1, "largest": 1}]
    assert report["reasons"] == ["1 of 60 windows differ from the reference"]


def test_a_missed_limit_fails_and_says_by_how_much(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    build.quantize["limits"] |= {"minimum": 0.95, "ticks": {"host": 1000}}
    write(build)
    with build.device() as fake:
        code, report = run(build, fake)
    assert (code, report["verdict"]) == (EXIT_LIMIT, "fail")
    assert report["windows"]["equal"] == 60
    assert report["reasons"] == [
        "limit missed: accuracy on the device is 0.9, the limit is at least 0.95 (missed by 0.05)",
        "limit missed: microseconds of an inference is 1030.5, the limit is at most 1000 (missed by 30.5)",
    ]
    assert "limit missed: accuracy on the device" in capsys.readouterr().out


def test_metrics_come_from_the_devices_own_bytes(build: FakeBuild) -> None:
    with build.device(compute=lambda window: bytes([90, 0, 0])) as fake:
        code, report = run(build, fake)
    assert code == EXIT_LIMIT
    assert report["metrics"]["int8"]["accuracy"] == pytest.approx(0.9)
    assert report["metrics"]["device"]["accuracy"] == pytest.approx(1 / 3)


def test_anomaly_detection_is_scored_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build = fake_build(tmp_path, kind="anomaly")
    with build.device(credits=2) as fake:
        code, report = run(build, fake)
    assert code == 0
    assert report["metrics"]["device"] == build.quantize["metrics"]["int8"]
    assert set(report["metrics"]["device"]) == {"auc", "false_alarm_rate", "detection_rate", "threshold"}


def test_a_part_of_the_windows_judges_bytes_but_not_the_task(build: FakeBuild) -> None:
    build.quantize["limits"]["minimum"] = 0.99
    write(build)
    with build.device() as fake:
        code, report = run(build, fake, "--windows", "7")
        assert fake.runs == 7
    assert code == 0 and report["windows"]["total"] == 7 and not report["whole_test_split"]
    assert [check["met"] for check in report["limits"]] == [None, None, True, True, True]
    asked = np.load(build.folder / "outputs.npz")["asked"]
    assert (np.diff(asked) > 0).all() and sorted(np.bincount(asked % 3)) == [2, 2, 3]  # as many of each label
    assert report["sample"]["words"] == "with 95 % confidence at most 19 of all 60 windows differ (32 %)"
    assert np.array(report["metrics"]["float"]["confusion"]).sum() == 7


def test_more_windows_than_there_are_is_all(build: FakeBuild) -> None:
    labels = np.zeros(5, np.int64)
    assert sample.choose(labels, 99, 0).tolist() == sample.choose(labels, None, 0).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(Problem, match="0 windows cannot be run"):
        hil.main(["--windows", "0"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--baud", "0"], "--baud: 0 is no rate of a line"),
        (["--baud", "1152000000"], "--baud: 1152000000 is no rate of a line"),
        (["--seed", "-1"], "--seed: -1 is below 0"),
        (["--self-test", "--faults", "0"], "--faults: 0 faults cannot be run"),
        (["--board", ""], "--board: is empty"),
        (["--each"], "--each: is about several boards"),
        (["--self-test", "--windows", "3"], "--windows: has no meaning in a self-test"),
        (["--self-test", "--out", "x"], "--out: has no meaning in a self-test"),
        (["--board", "host", "--name", "dmo"], "build: there is no model dmo"),
        (["--limit", "ticks=1", "--limit", "ticks=2"], "--limit: ticks is named twice"),
    ],
)
def test_values_that_say_nothing_are_refused_before_a_board_is_asked(
    build: FakeBuild, arguments: list[str], said: str
) -> None:
    with pytest.raises(Problem) as caught:
        hil.main(arguments)
    assert (str(caught.value), caught.value.code) == (said, EXIT_USER)
    assert caught.value.hint


def test_json_is_the_report(build: FakeBuild, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with build.device() as fake:
        hil.main(["--port", fake.path, "--json", "--out", str(tmp_path / "elsewhere")])
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "elsewhere" / "report.json").read_text()
    assert not (build.folder / "report.json").exists()
    names = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())
    assert names == ["evidence", "outputs.npz", "report.html", "report.json", "report.xml"]


def test_refuses_firmware_of_another_model(build: FakeBuild) -> None:
    assert refusal(build, model_id=bytes.fromhex("91bc77d000000000")) == [
        "error: PORT: the device runs model 91bc77d0, build/demo/model.tflite is 5f1c02ab",
        "  hint: make flash board=host port=PORT",
    ]


def test_refuses_a_model_that_was_never_built_here(build: FakeBuild) -> None:
    assert refusal(build, model="kws") == [
        "error: PORT: the device runs model kws (5f1c02ab), build/kws is not there",
        "  hint: make model name=kws board=host, or say which model it is: --name",
    ]


def test_names_all_that_differs_from_the_plan(build: FakeBuild) -> None:
    lines = refusal(build, arena=999, kernel_version=4, scales=(0.5, 3, 0.75, -128))
    assert [line for line in lines if line.startswith("error")] == [
        "error: PORT: the device has output scale 0.75, plan.json 0.00390625",
        "error: PORT: the device has arena bytes 999, plan.json 2048",
        "error: PORT: the device has kernel version 4, plan.json 1",
    ]


def test_refuses_another_board_or_runtime_than_asked(build: FakeBuild, tmp_path: Path) -> None:
    assert "error: PORT: the device runs runtime tflm, not compiled" in refusal(
        build, None, "--runtime", "compiled", runtime="tflm"
    )
    fake_build(tmp_path, board="nano")
    lines = refusal(build, None, "--board", "nano")
    assert lines[0] == "error: PORT: the device has board host, plan.json nano"


def test_a_model_that_is_not_the_one_of_quantize_json_is_refused(build: FakeBuild) -> None:
    (build.root / "build" / "demo" / "model.tflite").write_bytes(b"abc")
    assert "model.tflite: is model ba7816bf, quantize.json beside it is of 5f1c02ab" in refusal(build)[0]


@pytest.mark.parametrize("file", ["plan.json", "size.json", "../quantize.json"])
@pytest.mark.parametrize(("text", "what"), [("[]", "holds no JSON object but []"), ("{}", "lacks ")])
def test_a_file_of_another_version_is_refused_before_the_run(build: FakeBuild, file: str, text: str, what: str) -> None:
    (build.folder / file).write_text(text)
    assert what in refusal(build)[0]


@pytest.mark.parametrize("lost", ["plan.json", "size.json", "../reference.npz", "../quantize.json"])
def test_a_missing_file_names_the_command_that_makes_it(build: FakeBuild, lost: str) -> None:
    (build.folder / lost).unlink()
    lines = refusal(build)
    assert "make model name=demo board=host" in lines[1]


def test_files_that_do_not_belong_together_are_refused(build: FakeBuild) -> None:
    write(build)
    plan = json.loads((build.folder / "plan.json").read_text())
    (build.folder / "plan.json").write_text(json.dumps({**plan, "model_id": "aaaaaaaabbbbbbbb"}))
    assert "plan.json: was made of model aaaaaaaa, quantize.json is of 5f1c02ab" in refusal(build)[0]
    replaced(build, arrays={**build.arrays, "labels": build.arrays["labels"][:-1]})
    assert "does not fit quantize.json: labels" in refusal(build)[0]


def test_a_stale_reference_is_refused(build: FakeBuild) -> None:
    quantize = {**build.quantize, "output": {**build.quantize["output"], "shape": [5]}}
    (build.root / "build" / "demo" / "quantize.json").write_text(json.dumps(quantize))
    assert "does not fit quantize.json: outputs" in refusal(build)[0]
    (build.root / "build" / "demo" / "quantize.json").write_text(json.dumps({"model_id": "00"}))
    assert "quantize.json lacks task" in refusal(build)[0]


def test_outputs_of_another_model_are_refused(build: FakeBuild) -> None:
    """As when quantize was interrupted between its files: the bytes would differ and the board would be blamed."""
    replaced(build, arrays={**build.arrays, "outputs": build.arrays["outputs"][::-1]})
    assert "is not of the model in quantize.json: its accuracy is 0." in refusal(build)[0]


def test_firmware_exchanged_during_the_run_is_noticed(build: FakeBuild) -> None:
    with build.device(Faults(other_id_after=30)) as fake:
        code, report = run(build, fake)
    assert (code, report["verdict"]) == (EXIT_DEVICE, "failed")
    assert "the firmware changed during the run: it was 5f1c02ab, now it is 00000000" in report["reasons"][0]


def test_a_link_that_fails_in_the_middle_keeps_what_was_done(
    build: FakeBuild, capsys: pytest.CaptureFixture[str]
) -> None:
    with build.device(Faults(die_at=25)) as fake:
        code, report = run(build, fake)
    assert (code, report["verdict"]) == (EXIT_DEVICE, "failed")
    assert report["reasons"] == [f"{fake.path}: the line is gone"]
    assert report["windows"] == {"total": 60, "equal": 25, "failed": 0, "unanswered": 35, "differing": []}
    assert np.load(build.folder / "outputs.npz")["answered"].sum() == 25
    shown = capsys.readouterr()
    assert "FAILED  demo" in shown.out and "35 not answered" in shown.out
    assert f"error: {fake.path}: the line is gone" in shown.err and "hint: a loose cable" in shown.err


def test_a_fault_at_the_first_window_still_makes_a_report(build: FakeBuild) -> None:
    with build.device(Faults(fault_at=0)) as fake:
        code, report = run(build, fake)
    assert (code, report["verdict"], report["metrics"]["device"]) == (EXIT_DEVICE, "failed", None)
    assert "tensor arena too small" in report["reasons"][0]
    assert report["clock"]["median"] is None


def test_a_lossy_line_still_passes(build: FakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    with build.device(Faults(drop_every=223, flip_sent_every=397), credits=2) as fake:
        code, report = run(build, fake)
    assert code == 0 and report["windows"]["equal"] == 60
    assert report["link"]["retries"] > 0 and report["link"]["damaged"] > 0


def test_ctrl_c_keeps_what_was_done(build: FakeBuild) -> None:
    with build.device(Faults(slow=0.02)) as fake:
        process = command("--port", fake.path)
        while fake.runs < 10:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    report = json.loads((build.folder / "report.json").read_text())
    assert process.returncode == EXIT_INTERRUPTED
    assert (report["verdict"], report["reasons"]) == ("partial", ["interrupted"])
    assert 8 <= report["windows"]["equal"] < 60 and report["windows"]["failed"] == 0
    assert report["windows"]["equal"] + report["windows"]["unanswered"] == 60
    assert "PARTIAL  demo" in out


def test_without_port_and_board_the_only_port_is_taken(build: FakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    with build.device() as fake:
        monkeypatch.setattr(ports, "known_ports", lambda: {fake.path: "fake"})
        assert hil.main([]) == 0
    monkeypatch.setattr(ports, "known_ports", dict)
    with pytest.raises(Problem, match="no serial port is there") as none:
        hil.main([])
    assert none.value.code == EXIT_USER


def test_a_board_without_port_runs_in_its_emulator(
    build: FakeBuild, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with build.device() as fake:
        elf = build.folder / "firmware.elf"
        elf.write_text(f"#!/bin/sh\necho 'pty: {fake.path}'\nexec sleep 60\n")
        elf.chmod(0o755)
        code = hil.main(["--board", "host"])
    report = json.loads((build.folder / "report.json").read_text())
    assert code == 0 and report["emulated"] and report["port"] == "emulator of host"
    assert report["emulator"]["name"] == "native process"
    shown = capsys.readouterr().out
    assert "emulated by native process: no figure here is the chip's own" in shown
    assert "ms, emulated" in shown


def test_instructions_are_never_time(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    toml = (build.root / "boards" / "host.toml").read_text()
    counted = toml.replace(
        'clock = { kind = "microseconds", ticks_per_unit = 1.0 }',
        'clock = { kind = "instructions", ticks_per_unit = 25.6 }',
    )
    assert counted != toml
    (build.root / "boards" / "host.toml").write_text(counted)
    with build.device() as fake:
        elf = build.folder / "firmware.elf"
        elf.write_text(f"#!/bin/sh\necho 'pty: {fake.path}'\nexec sleep 60\n")
        elf.chmod(0o755)
        hil.main(["--board", "host"])
    clock = json.loads((build.folder / "report.json").read_text())["clock"]
    assert (clock["kind"], clock["hz"], clock["milliseconds"]) == ("instructions", None, None)
    assert clock["median"] == pytest.approx(1030.5 / 25.6, abs=0.1)
    shown = capsys.readouterr().out
    assert "instructions, emulated" in shown and " ms" not in shown
    assert " ms<" not in (build.folder / "report.html").read_text()


def test_a_bench_without_models_and_firmware_sources_checks_boards(build: FakeBuild) -> None:
    for folder in ("models", "firmware"):
        shutil.rmtree(build.root / folder)
    with build.device() as fake:
        code, report = run(build, fake)
        assert (code, report["verdict"]) == (0, "pass")
        assert hil.main(["--port", fake.path, "--board", "host", "--name", "demo"]) == 0


def test_several_models_for_a_board_must_be_told_apart(build: FakeBuild, tmp_path: Path) -> None:
    fake_build(tmp_path, name="watch")
    with pytest.raises(Problem) as two:
        hil.main(["--board", "host"])
    assert two.value.lines() == [
        "error: board host: 2 models are built for it: demo, watch",
        "  hint: choose one: --name demo",
    ]
    with pytest.raises(Problem, match="no model is built for it"):
        hil.main(["--board", "host", "--runtime", "tflm"])
    with pytest.raises(Problem, match="there is no board hots"):
        hil.main(["--board", "hots"])


def test_a_silent_device_is_exit_3(build: FakeBuild) -> None:
    process = command("--port", "exec:sleep 30")
    out, err = process.communicate(timeout=30)
    assert process.returncode == EXIT_DEVICE and out == ""
    assert err.startswith("error: exec:sleep 30: no answer to HELLO in 8 s; no other byte arrived\n  hint: ")


HEAVY = (
    "numpy",
    "matplotlib",
    "jinja2",
    "tensorflow",
    "tf_keras",
    "serial",
    "rich",
    "pipeline.files",
    "pipeline.device",
)


def test_help_loads_next_to_nothing() -> None:
    code = f"""
import sys, runpy
sys.argv = ["hil", "--help"]
try:
    runpy.run_module("pipeline.hil", run_name="__main__")
except SystemExit:
    pass
sys.stderr.write(repr((len(sys.modules), sorted(set(sys.modules) & set({HEAVY!r})))))
"""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env=environment)
    count, heavy = eval(done.stderr)
    assert heavy == [] and count < 150
    assert "--port" in done.stdout


def test_the_harness_never_loads_tensorflow(build: FakeBuild) -> None:
    code = (
        "import sys; from pipeline import bench, report, figures; print([m for m in sys.modules if 'tensorflow' in m])"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n"
