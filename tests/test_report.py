"""The forms of a report: JSON fields, one whole HTML page, JUnit, golden text."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import FakeBuild, fake_build, write
from fake_device import Faults

from pipeline import figures, hil, verdict, words
from pipeline.verdict import Counted, Outcome

TEXT = """
PASS  demo 5f1c02ab on host, runtime compiled

  windows    60 of 60 equal to the reference, byte for byte
  accuracy   90.00 %, 95 % interval 79.85 % to 95.34 % (Wilson, windows taken as independent)
  flipped    0 windows are decided otherwise than by float: 0 now right, 0 now wrong (p 1); by the reference: 0
  latency    median 1.030 ms, p95 1.057 ms, max 1.060 ms
  flash      8.8 KB of 1,024.0 KB (0.858 %); code 3.9 KB, weights 1000 B
  RAM        4.9 KB of 256.0 KB (1.91 %); arena 2.0 KB of 128.0 KB (1.56 %)
  limits     5 of 5 met
  line       PORT: N windows/s in N s, no byte lost

              float   pruned     int8   device
  accuracy  90.00 %  90.00 %  90.00 %  90.00 %
  macro F1  90.00 %  90.00 %  90.00 %  90.00 %

  report     build/demo/host-compiled/report.html
  evidence   build/demo/host-compiled/evidence (DIGEST)

"""


class Page(HTMLParser):
    """Counts elements and notes the tags that are left open or point outside."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "br"):
            self.open.append(tag)
        links = [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.outside += [link for link in links if not link.startswith("#")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"


def made(
    tmp_path: Path, faults: Faults | None = None, kind: str = "classification", more: tuple[str, ...] = (), **how: Any
) -> tuple[FakeBuild, dict[str, Any]]:
    build = fake_build(tmp_path, kind=kind, **how)
    with build.device(faults) as fake:
        hil.main(["--port", fake.path, *more])
    return build, json.loads((build.folder / "report.json").read_text())


@pytest.fixture(autouse=True)
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_json_has_what_the_issue_names(tmp_path: Path) -> None:
    _, facts = made(tmp_path)
    named = {
        "verdict",
        "model",
        "model_id",
        "board",
        "runtime",
        "emulated",
        "windows",
        "metrics",
        "clock",
        "size",
        "limits",
    }
    assert named <= set(facts)
    assert {"total", "equal", "failed"} <= set(facts["windows"])
    assert set(facts["metrics"]) == {"float", "pruned", "int8", "device"}
    assert {"kind", "hz", "median", "p95", "max"} <= set(facts["clock"])
    assert set(facts["size"]) == {"flash", "ram", "arena", "weights", "code", "model_code"}
    assert {"credits", "retries", "damaged", "refused", "stale", "sent_bytes", "received_bytes"} <= set(facts["link"])
    assert facts["clock"]["milliseconds"]["median"] == pytest.approx(1.0305)


def test_a_16x8_model_scores_as_one_of_8_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("classification", "anomaly"):
        facts = []
        for bits in (8, 16):
            root = tmp_path / f"{kind}{bits}"
            root.mkdir()
            monkeypatch.chdir(root)
            facts.append(made(root, kind=kind, wide=bits == 16)[1])
        narrow, wide = facts
        assert (wide["verdict"], wide["windows"]["equal"]) == ("pass", 60)
        assert wide["metrics"] == narrow["metrics"] and wide["statistics"] == narrow["statistics"]
        assert re.search(r" pruned +16x8 +device\n", capsys.readouterr().out)
        assert ">16x8<" in (root / "build/demo/host-compiled/report.html").read_text()


def test_text_is_golden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, facts = made(tmp_path)
    text = capsys.readouterr().out.replace(facts["port"], "PORT")
    text = re.sub(r"[\d.]+ windows/s in [\d.]+ s", "N windows/s in N s", text)
    assert re.sub(r"evidence \([0-9a-f]{16}\)", "evidence (DIGEST)", text) == TEXT


@pytest.mark.parametrize(
    ("kind", "truth"), [("classification", "Confusion on the device"), ("anomaly", "Detections and false alarms")]
)
def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path, kind: str, truth: str) -> None:
    build, _ = made(tmp_path, kind=kind)
    text = (build.folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.counts["svg"] == 7 and page.outside == [] and "script" not in page.counts
    captions = [
        "From float to the device",
        truth,
        "Latency in microseconds",
        "Worst windows",
        "Memory of the board",
        "Arena over the steps of an inference",
        "Zero weights by layer",
    ]
    for caption in captions:
        assert f"<h2>{caption}</h2>" in text
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)
    colours = set(re.findall(r"#[0-9a-f]{6}", "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))))
    assert colours == set(), "a figure's colours come from the page"
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))


def test_the_page_shows_what_differs(tmp_path: Path) -> None:
    build, _ = made(tmp_path, Faults(wrong_output_at=3))
    text = (build.folder / "report.html").read_text()
    assert "Windows that differ" in text and 'class="verdict fail"' in text
    assert "1 of 60 windows differ from the reference" in text


def test_a_confusion_of_many_classes_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.MOST_CLASSES", 1)
    build, _ = made(tmp_path)
    text = (build.folder / "report.html").read_text()
    assert "Confusion on the device" not in text and "Worst windows" in text


def test_the_page_of_a_run_without_answers_is_whole(tmp_path: Path) -> None:
    build, _ = made(tmp_path, Faults(fault_at=0))
    page = Page()
    page.feed((build.folder / "report.html").read_text())
    assert page.counts["svg"] == 3


def test_names_are_escaped(tmp_path: Path) -> None:
    build = fake_build(tmp_path)
    build.quantize["sparsity"][0]["layer"] = "<conv & 1>"
    write(build)
    with build.device() as fake:
        hil.main(["--port", fake.path])
    text = (build.folder / "report.html").read_text()
    assert "&lt;conv &amp; 1&gt;" in text and "<conv" not in text


def test_junit_has_a_case_for_each_question(tmp_path: Path) -> None:
    build, facts = made(tmp_path)
    suite = ET.parse(build.folder / "report.xml").getroot()
    assert suite.attrib == {"name": "hil.demo.host-compiled", "tests": "7", "failures": "0", "errors": "0"}
    assert suite[0].attrib["name"] == "windows equal the reference"
    assert len(suite.findall("testcase")) == 2 + len(facts["limits"])


def test_junit_fails_where_the_run_failed(tmp_path: Path) -> None:
    build, _ = made(tmp_path, Faults(die_at=20))
    suite = ET.parse(build.folder / "report.xml").getroot()
    failures = {case.attrib["name"]: case[0].attrib["message"] for case in suite if case.find("failure") is not None}
    assert failures["windows equal the reference"] == "40 unanswered"
    assert "the line is gone" in failures["the run went to its end"]
    assert len(suite.findall("testcase/skipped")) == 2
    assert suite.attrib["failures"] == "2"


def outcome(ticks: list[int]) -> Outcome:
    some = Outcome.of(np.arange(len(ticks)), (2,))
    for index, tick in enumerate(ticks):
        some.take(index, tick, bytes(2))
    return some


def test_latency_is_in_the_clocks_unit() -> None:
    cycles = verdict.clock(outcome([100, 200, 300]), Counted("cycles", 1.0, 1000))
    assert (cycles["median"], cycles["max"], cycles["milliseconds"]["median"]) == (200.0, 300.0, 200.0)
    counted = verdict.clock(outcome([256, 512]), Counted("instructions", 25.6, None))
    assert (counted["median"], counted["max"], counted["milliseconds"]) == (15.0, 20.0, None)


def test_only_answered_windows_count() -> None:
    some = outcome([100, 900])
    some.answered[1] = False
    assert verdict.clock(some, Counted("cycles", 1.0, 1000))["max"] == 100
    windows = verdict.compare(some, np.zeros((2, 2), np.int8))
    assert (windows["equal"], windows["failed"], windows["unanswered"]) == (1, 0, 1)
    assert verdict.judge(some, windows, []) == ("failed", ["1 windows were not answered"])


def test_a_difference_is_measured_without_wrapping() -> None:
    some = Outcome.of(np.arange(1), (2,))
    some.take(0, 1, bytes([0x80, 0]))
    assert verdict.compare(some, np.array([[127, 0]], np.int8))["differing"] == [
        {"index": 0, "bytes": 1, "largest": 255}
    ]


def test_figures_in_words() -> None:
    assert words.kilobytes(1023) == "1023 B" and words.kilobytes(1024) == "1.0 KB"
    assert words.metric(0.90123, "accuracy") == "90.12 %" and words.metric(0.99987, "auc") == "0.9999"
    assert words.count(3000) == "3,000" and words.count(0.25) == "0.2500"
    scored = {"metrics": {"float": None, "pruned": {}, "int8": {"auc": 1.0}, "device": {"auc": 1.0}}, "activations": 16}
    assert words.rungs(scored) == {"int8": "16x8", "device": "device"}
    assert words.rungs({**scored, "activations": 8}) == {"int8": "int8", "device": "device"}


def test_worst_windows_are_drawn_in_colours_of_the_page_whatever_their_shape() -> None:
    rng = np.random.default_rng(1)
    for shape in ((64,), (64, 1), (128, 6), (49, 10, 1), (49, 40), (96, 96, 3)):
        svg = figures.windows([rng.normal(size=shape)] * 3, ["one", "two", "three"])
        assert all(title in svg for title in ("one", "two", "three"))
        assert not re.findall(r"#[0-9a-f]{6}", svg) and len(svg) < 1_000_000


def test_the_ladders_limit_is_the_one_that_holds(tmp_path: Path) -> None:
    build, _ = made(tmp_path, more=("--limit", "accuracy=0.7"))
    page = (build.folder / "report.html").read_text()
    assert "accuracy at least 0.7<" in page and "accuracy at least 0.8<" not in page


def test_a_model_that_came_as_int8_is_not_compared_with_float(tmp_path: Path) -> None:
    facts = made(tmp_path)[1]
    assert "decided otherwise than by float" in dict(words.certainty(facts))["flipped"]
    facts["metrics"]["float"] = facts["metrics"]["pruned"] = None
    assert dict(words.certainty(facts))["flipped"] == "0 windows are decided otherwise than by the reference"
