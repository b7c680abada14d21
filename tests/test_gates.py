"""Gates: limits of the command line and the model's file, an earlier report as a baseline, and what CI is shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from fake_build import FakeBuild, fake_build, write
from fake_device import Faults

from pipeline import ci, gates, hil, verify
from pipeline.problem import EXIT_LIMIT, EXIT_USER, Problem


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return fake_build(tmp_path)


def run(build: FakeBuild, *more: str, faults: Faults | None = None, **facts: Any) -> tuple[int, dict[str, Any]]:
    with build.device(faults, credits=4, **facts) as fake:
        code = hil.main(["--port", fake.path, *more])
    report = json.loads((build.folder / "report.json").read_text())
    assert verify.main([str(build.folder / "evidence")]) == 0  # the verdict follows from the evidence, gates and all
    return code, report


def refused(*arguments: str) -> str:
    with pytest.raises(Problem) as raised:
        hil.main(["--port", "/dev/none", *arguments])
    assert raised.value.code == EXIT_USER
    return "; ".join(raised.value.lines())


def baseline(build: FakeBuild) -> Path:
    run(build)
    return Path(shutil.copy(build.folder / "report.json", build.root / "before.json"))


def edit(path: Path, *keys: str, value: Any) -> None:
    """Another value in a JSON file."""
    content = inner = json.loads(path.read_text())
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content))


def resized(build: FakeBuild, **size: int) -> None:
    for name, value in size.items():
        edit(build.folder / "size.json", name, value=value)


LIMITS = [
    ("accuracy=91%", "accuracy on the device is 0.9, the limit is at least 0.91 (missed by 0.01)"),
    ("accuracy=0.95", "accuracy on the device is 0.9, the limit is at least 0.95 (missed by 0.05)"),
    ("macro_f1=.99", "macro F1 on the device is 0.9, the limit is at least 0.99 (missed by 0.09)"),
    ("ticks=1_000", "microseconds of an inference is 1030.5, the limit is at most 1000 (missed by 30.5)"),
    ("milliseconds=1.02", "milliseconds of an inference is 1.0305, the limit is at most 1.02 (missed by 0.0105)"),
    ("flash=8K", "flash bytes is 9000, the limit is at most 8192 (missed by 808)"),
    ("ram=4999", "ram bytes is 5000, the limit is at most 4999 (missed by 1)"),
    ("arena=1K", "arena bytes is 2048, the limit is at most 1024 (missed by 1.02e+03)"),
]


@pytest.mark.parametrize(("limit", "said"), LIMITS, ids=[limit for limit, _ in LIMITS])
def test_a_limit_on_the_command_line(build: FakeBuild, limit: str, said: str) -> None:
    code, report = run(build, "--limit", limit)
    assert (code, report["reasons"]) == (EXIT_LIMIT, [f"limit missed: {said}"])


def test_a_limit_on_the_drop(build: FakeBuild) -> None:
    edit(build.root / "build" / "demo" / "quantize.json", "metrics", "float", "accuracy", value=0.95)
    assert run(build)[1]["reasons"][0].startswith("limit missed: accuracy lost from float to device is 0.05")
    assert run(build, "--limit", "drop=6%")[0] == 0


def test_limits_that_are_met_pass_and_replace_the_models(build: FakeBuild) -> None:
    build.quantize["limits"] |= {"minimum": 0.95, "ticks": {"host": 1000}}
    write(build)
    assert run(build)[0] == EXIT_LIMIT
    more = ("--limit", "accuracy=0.9", "--limit", "ticks=2000", "--limit", "flash=9000", "--limit", "arena=9000K")
    code, report = run(build, *more)
    assert code == 0
    assert [check["limit"] for check in report["limits"]] == [
        0.9,
        0.02,
        2000,
        9000,
        262_144,
        131_072,
    ]  # as on the board


def test_milliseconds_are_limited_where_the_clock_is_time(build: FakeBuild) -> None:
    build.quantize["limits"] |= {"milliseconds": {"host": 1, "esp32": 0.1}}
    write(build)
    assert run(build)[1]["reasons"][0].startswith("limit missed: milliseconds of an inference is 1.0305")
    assert run(build, "--limit", "milliseconds=1.1")[0] == 0
    asked, who = gates.of(["milliseconds=5"], None, []), ("demo", "esp32", True)
    with pytest.raises(Problem, match="the clock of demo on esp32, emulated is none of time") as caught:
        gates.check(asked, build.quantize, who, timed=False)
    assert caught.value.hint == "limit its ticks, or run on the real board"
    gates.check(asked, build.quantize, who, timed=True)


def test_the_models_file_limits_memory_for_a_board(build: FakeBuild) -> None:
    build.quantize["limits"] |= {"flash": {"host": 8500, "esp32": 1}, "ram": {"host": 6000}, "arena": {}}
    write(build)
    code, report = run(build)
    assert code == EXIT_LIMIT
    assert report["reasons"] == ["limit missed: flash bytes is 9000, the limit is at most 8500 (missed by 500)"]
    assert report["memory"]["flash"] == 1_048_576


def test_a_false_alarm_rate_is_limited_from_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build = fake_build(tmp_path, kind="anomaly")
    code, report = run(build, "--limit", "false_alarm_rate=1")
    check = next(check for check in report["limits"] if check["name"] == "false alarm rate on the device")
    assert (code, check["at"], check["met"]) == (0, "most", True)


def test_mistakes_in_the_call_come_before_the_board_is_asked(build: FakeBuild, tmp_path: Path) -> None:
    assert "acuracy is nothing that can be limited here; " in refused("--limit", "acuracy=0.9")
    assert "hint: did you mean accuracy?" in refused("--limit", "acuracy=0.9")
    for value in ("flash", "flash=", "flash=-1", "ticks=2K", "flash=1e5", "flash=64 K", "ticks=_", "ticks=1_"):
        assert f"--limit: {value} has no value that fits it" in refused("--limit", value)
    assert "accuracy cannot be 9000 %" in refused("--limit", "accuracy=90")
    assert "ram cannot be 90 %" in refused("--limit", "ram=90%")
    assert "--tolerance: there is nothing to compare with" in refused("--tolerance", "flash=1")
    assert "none.json: does not exist yet" in refused("--baseline", "none.json")
    assert "cannot be a file" in refused("--summary", str(tmp_path))
    assert "cannot be a file" in refused("--summary", "no/such/folder.md")
    with pytest.MonkeyPatch.context() as patch:  # the user of a test may be root, who may all
        patch.setattr(os, "access", lambda path, mode: False)
        assert "summary.md may not be written by this user" in refused("--summary", "summary.md")


def test_what_the_task_does_not_have_is_refused_before_the_first_window(build: FakeBuild) -> None:
    with build.device() as fake:
        with pytest.raises(Problem, match="--limit auc: is no metric of classification"):
            hil.main(["--port", fake.path, "--limit", "auc=0.9"])
        assert fake.received == 0
    edit(build.root / "build" / "demo" / "quantize.json", "metrics", "float", value=None)
    with build.device() as fake, pytest.raises(Problem, match="the model has no float metrics to drop from"):
        hil.main(["--port", fake.path, "--limit", "drop=0.1"])


def test_the_same_again_is_no_regression(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(build, "--baseline", str(baseline(build)))
    assert (code, report["reasons"]) == (0, [])
    rows = {row["name"]: row for row in report["baseline"]["rows"]}
    assert list(rows) == ["accuracy", "macro_f1", "latency", "flash", "ram", "arena", "weights", "code"]
    assert all(row["before"] == row["now"] and row["met"] is not False for row in rows.values())
    assert re.search(r"^ +flash +9,000 +9,000 +=$", capsys.readouterr().out, re.MULTILINE)
    assert run(build, "--baseline", str(build.folder))[0] == 0  # the folder of the last run


def test_a_regression_fails_and_says_what_how_much_and_what_was_tolerated(
    build: FakeBuild, capsys: pytest.CaptureFixture[str]
) -> None:
    before = str(baseline(build))
    resized(build, flash=9100, ram=4900, code=4100)
    code, report = run(build, "--baseline", before)
    assert code == EXIT_LIMIT
    assert report["reasons"] == ["regression: flash was 9,000, is 9,100: worse by 100, 0 tolerated"]
    out = capsys.readouterr().out
    assert re.search(r"^ +flash +9,000 +9,100 +\+100 \(\+1\.1 %\) +worse$", out, re.MULTILINE)
    assert re.search(r"^ +ram +5,000 +4,900 +-100 \(-2\.0 %\) +better$", out, re.MULTILINE)
    assert re.search(r"^ +code +4,000 +4,100 +\+100 \(\+2\.5 %\) +not judged$", out, re.MULTILINE)
    page = (build.folder / "report.html").read_text()
    assert "<h2>Since " in page and '<span class="missed">worse</span>' in page
    suite = ET.fromstring((build.folder / "report.xml").read_text())
    failed = [case.attrib["name"] for case in suite.findall("testcase") if case.find("failure") is not None]
    assert failed == ["flash beside the baseline"]


@pytest.mark.parametrize(
    ("tolerance", "passes"), [("flash=100", True), ("flash=99", False), ("flash=1.2%", True), ("flash=1%", False)]
)
def test_a_tolerance_is_bytes_or_per_cent(build: FakeBuild, tolerance: str, passes: bool) -> None:
    before = str(baseline(build))
    resized(build, flash=9100)
    assert (run(build, "--baseline", before, "--tolerance", tolerance)[0] == 0) is passes


def test_a_metric_is_compared_in_points(build: FakeBuild) -> None:
    before = baseline(build)
    edit(before, "metrics", "device", "accuracy", value=0.915)
    code, report = run(build, "--baseline", str(before))
    said = "regression: accuracy was 91.50 %, is 90.00 %: worse by 1.50 %, 0.00 % tolerated"
    assert (code, report["reasons"]) == (EXIT_LIMIT, [said])
    assert run(build, "--baseline", str(before), "--tolerance", "accuracy=2%")[0] == 0
    assert run(build, "--baseline", str(before), "--tolerance", "accuracy=0.01")[0] == EXIT_LIMIT


def test_latency_may_vary_a_little_unless_told_otherwise(build: FakeBuild) -> None:
    before = baseline(build)
    edit(before, "clock", "median", value=1000.0)
    assert run(build, "--baseline", str(before))[0] == 0
    code, report = run(build, "--baseline", str(before), "--tolerance", "latency=30")
    assert (code, report["reasons"]) == (
        EXIT_LIMIT,
        ["regression: latency was 1,000, is 1,030.5: worse by 30.5, 30 tolerated"],
    )
    edit(before, "clock", "median", value=900.0)
    assert run(build, "--baseline", str(before))[0] == EXIT_LIMIT


def test_what_cannot_be_compared_is_not_judged(build: FakeBuild) -> None:
    before = baseline(build)
    edit(before, "clock", "kind", value="cycles")
    edit(before, "clock", "median", value=1.0)
    edit(before, "metrics", "device", "accuracy", value=1.0)
    code, report = run(build, "--baseline", str(before), "--windows", "20")
    met = {row["name"]: row["met"] for row in report["baseline"]["rows"]}
    assert (code, met["accuracy"], met["latency"], met["flash"]) == (0, None, None, True)
    sample = baseline_of_sample(build)
    edit(sample, "metrics", "device", "accuracy", value=1.0)
    assert run(build, "--baseline", str(sample), "--windows", "20")[0] == EXIT_LIMIT  # the same 20 windows


def baseline_of_sample(build: FakeBuild) -> Path:
    run(build, "--windows", "20")
    return Path(shutil.copy(build.folder / "report.json", build.root / "sample.json"))


def test_a_baseline_is_of_the_same_model_and_board(build: FakeBuild) -> None:
    before = baseline(build)
    edit(before, "emulated", value=True)
    with build.device() as fake:
        with pytest.raises(Problem, match="is of demo on host, emulated, this run is of demo on host"):
            hil.main(["--port", fake.path, "--baseline", str(before)])
        assert fake.received == 0


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("[]", "holds no JSON object but []"),
        ("{}", "is no report of this harness"),
        ('{"metrics": 1}', "is no report of this harness"),
        ('{"metrics": {"device": null}}', "is no report of this harness"),
        ("\xff", "is not JSON (not UTF-8 at byte 0)"),
    ],
)
def test_another_file_is_no_baseline(build: FakeBuild, content: str, what: str) -> None:
    (build.root / "other.json").write_bytes(content.encode("latin-1"))
    assert f"other.json: {what}" in refused("--baseline", "other.json")


def test_a_run_without_answers_is_no_baseline(build: FakeBuild) -> None:
    before = baseline(build)
    edit(before, "clock", "median", value=None)
    assert "is of a run in which no window was answered" in refused("--baseline", str(before))


def test_several_boards_have_gates_too(build: FakeBuild) -> None:
    with build.device() as one, build.device() as two:
        ports = ["--port", one.path, "--port", two.path, "--each"]
        assert hil.main([*ports, "--limit", "flash=8K"]) == EXIT_LIMIT
        assert hil.main(ports) == 0


# What continuous integration is shown


def test_a_summary_is_added_to_a_markdown_file(build: FakeBuild, tmp_path: Path) -> None:
    before, path = baseline(build), tmp_path / "summary.md"
    resized(build, flash=9100)
    run(build, "--summary", str(path))
    run(build, "--summary", str(path), "--baseline", str(before), "--limit", "accuracy=0.95")
    passed, failed = re.split(r"(?=^### FAIL)", path.read_text(), flags=re.MULTILINE)
    assert passed.startswith("### PASS: demo 5f1c02ab on host, runtime compiled\n\n| ")
    assert "| windows | 60 of 60 equal to the reference, byte for byte |" in passed
    assert "| accuracy | 90.00 % | 90.00 % | 90.00 % | 90.00 % |" in passed
    assert "| flash bytes | 9,100 | at most 1,048,576 | met |" in passed and "Since" not in passed
    assert "- limit missed: accuracy on the device is 0.9" in failed
    assert "| accuracy on the device | 0.9000 | at least 0.9500 | **missed** |" in failed
    assert "- regression: flash was 9,000, is 9,100" in failed
    assert "| flash | 9,000 | 9,100 | +100 (+1.1 %) | worse |" in failed
    for table in re.findall(r"(?:^\|.*\n)+", path.read_text(), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_text_of_a_device_cannot_break_the_summary_or_an_annotation(
    build: FakeBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, report = run(build)
    bad = {**report, "verdict": "failed", "reasons": ["a|b <i>\n::error::x 5 %"], "board": "x,y:z"}
    assert r"- a\|b &lt;i> ::error::x 5 %" in ci.summary(bad)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    said = "::error title=demo 5f1c02ab on x%2Cy%3Az%2C runtime compiled::a|b <i>%0A::error::x 5 %25\n"
    assert ci.annotate(bad) == said


def test_annotations_are_said_to_github_only(
    build: FakeBuild, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(build, "--limit", "flash=8K")
    assert "::" not in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    run(build)
    title = "title=demo 5f1c02ab on host%2C runtime compiled"
    assert f"::notice {title}::60 of 60 equal to the reference, byte for byte\n" in capsys.readouterr().err
    with build.device() as fake:
        hil.main(["--port", fake.path, "--limit", "flash=8K", "--json"])
    said = capsys.readouterr()
    assert f"::error {title}::limit missed: flash bytes is 9000, the limit is at most 8192 (missed by 808)" in said.err
    assert json.loads(said.out)["verdict"] == "fail"


def test_every_figure_has_a_tolerance() -> None:
    assert set(gates.USUALLY) < set(gates.COMPARED) and set(gates.METRICS) < set(gates.COMPARED)
