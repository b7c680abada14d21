"""Intervals, paired comparison, samples, the sequential test: against textbook figures and against simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import FakeBuild, fake_build, replaced

from pipeline import hil, metrics, rungs, sample, stats, verdict
from pipeline.problem import Problem
from pipeline.stats import Sequential


def test_wilson_gives_the_known_figures() -> None:
    assert stats.wilson(90, 100) == pytest.approx((0.8256, 0.9448), abs=5e-5)
    assert stats.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert stats.wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)
    assert stats.wilson(0, 0) == (0.0, 1.0)


def test_wilson_covers_the_truth_about_95_times_in_100() -> None:
    hits = np.random.default_rng(1).binomial(200, 0.9, 3000)
    covered = np.mean([low <= 0.9 <= high for low, high in (stats.wilson(int(k), 200) for k in hits)])
    assert 0.93 < covered < 0.97


def test_the_auc_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng, covered = np.random.default_rng(2), []
    truth = 0.8413447  # of two normals one standard deviation apart, times root 2
    for _ in range(400):
        scores = np.concatenate([rng.normal(0, 1, 60), rng.normal(2**0.5, 1, 60)])
        labels = np.repeat([0, 1], 60)
        low, high = stats.auc_interval(metrics.auc(scores, labels), 60, 60)
        covered.append(low <= truth <= high)
    assert 0.91 < np.mean(covered) < 0.985
    assert stats.auc_interval(0.9, 0, 5) == (0.0, 1.0)


def test_mcnemar_is_the_binomial_test() -> None:
    assert stats.mcnemar(0, 0) == stats.mcnemar(3, 3) == 1.0
    assert stats.mcnemar(0, 5) == stats.mcnemar(5, 0) == 2 / 32
    assert stats.mcnemar(2, 10) == pytest.approx(0.03857, abs=1e-5)


@pytest.mark.parametrize(
    ("total", "drawn", "found"), [(60, 7, 0), (371, 100, 0), (371, 100, 2), (50, 50, 3), (9, 1, 0)]
)
def test_what_a_sample_shows_is_exact(total: int, drawn: int, found: int) -> None:
    most = stats.most_differing(total, drawn, found)
    rng = np.random.default_rng(3)

    def chance(differing: int) -> float:
        return float(np.mean(rng.hypergeometric(differing, total - differing, drawn, 40_000) <= found))

    if drawn == total:
        assert most == found
    else:
        assert chance(most) > 0.045 and (most + 1 > total - (drawn - found) or chance(most + 1) < 0.055)


@pytest.mark.parametrize(("truth", "wanted"), [(0.92, "above"), (0.88, "below"), (0.97, "above"), (0.7, "below")])
def test_the_sequential_test_is_wrong_as_rarely_as_it_says(truth: float, wanted: str) -> None:
    rng, answers, counts = np.random.default_rng(4), [], []
    for _ in range(300):
        test = Sequential(0.90)
        while not test.decided:
            test.take(bool(rng.random() < truth))
        test.take(False)  # nothing changes any more
        answers.append(test.decided)
        counts.append(test.count)
    assert np.mean([answer != wanted for answer in answers]) < 0.075
    if truth in (0.97, 0.7):
        assert np.mean(counts) < 150


def test_a_sample_is_stratified_random_and_of_its_seed() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    drawn = sample.choose(labels, 32, 1)
    assert np.bincount(labels[drawn]).tolist() == [20, 10, 2] and len(set(drawn)) == 32
    assert drawn.tolist() == sample.choose(labels, 32, 1).tolist() != sample.choose(labels, 32, 2).tolist()
    assert all(len(sample.choose(labels, count, 0)) == count for count in range(1, 160))
    mixed = sample.shuffled(drawn, 1)
    assert sorted(mixed) == drawn.tolist() != mixed.tolist()


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    return fake_build(tmp_path, count=400)


def run(build: FakeBuild, *more: str) -> tuple[int, dict[str, Any]]:
    with build.device(credits=4) as fake:
        code = hil.main(["--port", fake.path, *more])
        return code, {"runs": fake.runs, **json.loads((build.folder / "report.json").read_text())}


def test_the_report_says_how_sure_the_metric_is_and_plots_the_worst(
    build: FakeBuild, capsys: pytest.CaptureFixture[str]
) -> None:
    _, report = run(build)
    known = report["statistics"]
    assert known["interval"]["metric"] == "accuracy" and known["interval"]["value"] == 0.9
    assert known["interval"]["low"] == pytest.approx(stats.wilson(360, 400)[0])
    assert known["int8"] == {"flipped": 0, "better": 0, "worse": 0, "p": 1.0, "windows": []}
    assert [each["margin"] < 0 for each in known["worst"]] == [True] * 6
    page = (build.folder / "report.html").read_text()
    assert "Worst windows" in page and f">{known['worst'][0]['index']}: " in page
    assert "accuracy   90.00 %, 95 % interval 86.67 % to 92.57 % (Wilson" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["classification", "anomaly"])
def test_a_report_made_part_by_part_is_that_of_all_windows_at_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build = fake_build(tmp_path, kind=kind)
    build = replaced(build, arrays={**build.arrays, "float_outputs": np.roll(build.arrays["float_outputs"], 1, axis=0)})
    told = []
    for part, together, in_memory in ((1 << 22, 4096, 1 << 26), (8 * 19 * 7, 7, 0)):  # then few a time, answers on disk
        monkeypatch.setattr(rungs, "PART_BYTES", part)
        monkeypatch.setattr(verdict, "_TOGETHER", together)
        monkeypatch.setattr(verdict, "_IN_MEMORY", in_memory)
        with build.device() as fake:
            right = fake.compute
            fake.compute = lambda window, right=right: (
                bytes([right(window)[0] ^ (window[0] % 7 == 0)]) + right(window)[1:]
            )
            hil.main(["--port", fake.path, "--windows", "50"])
        report = json.loads((build.folder / "report.json").read_text())
        told.append({key: report[key] for key in ("verdict", "windows", "metrics", "statistics", "limits")})
    assert told[0]["windows"]["failed"] > 3 and told[0]["statistics"]["float"]["flipped"] > 3
    assert told[0] == told[1]


def test_windows_that_flip_against_float_are_listed_with_both_margins(build: FakeBuild) -> None:
    arrays, at = build.arrays, [3, 9, 40]  # 9 is wrong on the device: float is right there, and wrong at 3 and 40
    other = arrays["float_outputs"].copy()
    other[at] = np.roll(other[at], 1, axis=1)
    real = {"float": metrics.score(build.quantize["task"], other, arrays["labels"], arrays["inputs"], "float")}
    quantize = {**build.quantize, "metrics": {**build.quantize["metrics"], **real}}
    changed = replaced(build, arrays={**arrays, "float_outputs": other}, quantize=quantize)
    _, report = run(changed)
    flips = report["statistics"]["float"]
    assert [each["index"] for each in flips["windows"]] == at
    assert (flips["flipped"], flips["better"]) == (3, 2)
    first = flips["windows"][0]
    assert first["before"]["said"] != first["said"] == first["label"]
    assert first["before"]["margin"] < 0 < first["margin"]
    assert "Windows decided otherwise than by float" in (changed.folder / "report.html").read_text()


def test_an_anomaly_detector_has_an_interval_and_flips_of_its_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build = fake_build(tmp_path, kind="anomaly")
    task = {**build.quantize["task"], "threshold": {"float": 400.0, "pruned": 4.0, "int8": 4.0}}
    _, report = run(replaced(build, quantize={**build.quantize, "task": task}))
    known = report["statistics"]
    assert known["interval"]["metric"] == "auc" and known["interval"]["method"] == "Hanley and McNeil"
    assert known["float"]["flipped"] > 20 and known["int8"]["flipped"] == 0
    assert {each["before"]["said"] for each in known["float"]["windows"]} == {0}


def test_until_sure_stops_early(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(build, "--until-sure", "0.75")
    sure = report["until_sure"]
    assert (code, sure["decided"]) == (0, "above")
    assert sure["count"] <= report["runs"] <= sure["count"] + 20 < 350
    assert report["windows"]["unanswered"] == 0 and report["windows"]["total"] == report["runs"]
    assert "accuracy is at least 75 %, sure after" in capsys.readouterr().out
    assert report["limits"][-1]["met"] is True


def test_until_sure_fails_a_model_that_is_too_bad(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(build, "--until-sure", "0.98")
    assert (code, report["until_sure"]["decided"], report["verdict"]) == (1, "below", "fail")
    assert "accuracy is below 98 %, sure after" in capsys.readouterr().out


def test_until_sure_says_when_it_is_not(build: FakeBuild, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(build, "--until-sure", "0.9")
    assert (code, report["until_sure"]["decided"], report["runs"]) == (0, "", 400)
    assert "not sure after 400 windows, which are all" in capsys.readouterr().out


def test_until_sure_needs_a_classifier_and_an_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Problem, match="is about accuracy, this model's task is anomaly"):
        run(fake_build(tmp_path, kind="anomaly"), "--until-sure", "0.9")
    with pytest.raises(Problem, match="an accuracy of 2 cannot be tested"):
        run(fake_build(tmp_path), "--until-sure", "2")
