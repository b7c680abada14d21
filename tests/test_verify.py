"""The evidence of a run: the verdict follows from it without the board, and no change to it passes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from conftest import stage
from fake_build import FakeBuild, fake_build
from fake_device import Faults

from pipeline import evidence, files, frames, hil, verify
from pipeline.problem import EXIT_LIMIT, Problem, Problems


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(frames, "RETURN_SECONDS", 0.1)
    return fake_build(tmp_path)


def proof(build: FakeBuild, faults: Faults | None = None, *more: str) -> Path:
    with build.device(faults, credits=4) as fake:
        hil.main(["--port", fake.path, *more])
    return build.folder / "evidence"


def found(folder: Path) -> list[str]:
    with pytest.raises((Problem, Problems)) as raised:
        verify.main([str(folder)])
    assert raised.value.code == EXIT_LIMIT
    return [line.replace(f"{folder}/", "") for line in raised.value.lines() if line.startswith("error")]


def resummed(folder: Path) -> Path:
    """SHA256SUMS written anew, as a forger would."""
    (folder / evidence.SUMS).write_text(evidence.sums(folder))
    return folder


@pytest.mark.parametrize(
    ("faults", "more"),
    [
        (None, ()),
        (Faults(wrong_output_at=7), ()),
        (Faults(die_at=25), ()),
        (None, ("--windows", "20", "--seed", "3")),
        (None, ("--until-sure", "0.7")),
    ],
    ids=["pass", "fail", "failed", "sample", "until sure"],
)
def test_every_kind_of_verdict_is_recomputed_without_the_board_and_the_project(
    build: FakeBuild,
    faults: Faults | None,
    more: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = proof(build, faults, *more)
    report = json.loads((folder / "report.json").read_text())
    moved = Path(shutil.move(folder, tmp_path_factory.mktemp("elsewhere") / "evidence"))
    shutil.rmtree(build.root / "build")
    monkeypatch.chdir(moved)
    capsys.readouterr()
    assert verify.main([str(moved)]) == 0
    windows = report["windows"]
    assert capsys.readouterr().out == (
        f"verified: {report['verdict']}, demo 5f1c02ab on host, runtime compiled, "
        f"{windows['equal']} of {windows['total']} windows equal byte for byte\n"
        f"evidence {evidence.digest(moved)}\n"
    )


def test_its_sums_are_what_sha256sum_checks(build: FakeBuild) -> None:
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=proof(build), capture_output=True)
    assert done.returncode == 0


def test_any_changed_byte_of_any_file_is_noticed(build: FakeBuild, tmp_path: Path) -> None:
    folder, chance = proof(build), Random(11)
    for number, path in enumerate(sorted(folder.iterdir()) * 3):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(folder, copy)
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (copy / path.name).write_bytes(bytes(content))
        assert found(copy), path.name


def test_missing_added_and_changed_files_are_named_all_at_once(build: FakeBuild) -> None:
    folder = proof(build)
    (folder / "size.json").unlink()
    (folder / "notes.txt").write_text("x")
    (folder / "report.xml").write_text("<testsuite/>")
    assert found(folder) == [
        "error: notes.txt: is not in SHA256SUMS",
        "error: report.xml: was changed: its SHA-256 is not the one in SHA256SUMS",
        "error: size.json: is missing",
    ]


def test_a_file_left_out_of_the_sums_too_is_missing(build: FakeBuild) -> None:
    folder = proof(build)
    (folder / "windows.tsv").unlink()
    assert found(resummed(folder)) == ["error: windows.tsv: is missing"]
    with (folder / evidence.SUMS).open("a") as sums:
        sums.write("\n")
    assert "error: SHA256SUMS: is not as it was written" in found(folder)


def test_a_report_that_does_not_follow_is_found_even_with_new_sums(build: FakeBuild) -> None:
    folder = proof(build, Faults(wrong_output_at=7))
    report = json.loads((folder / "report.json").read_text())
    report["verdict"], report["windows"]["equal"] = "pass", 60
    files.write_json(folder / "report.json", report)
    assert found(resummed(folder)) == [
        "error: report.json: does not follow from the evidence: verdict is 'pass', it should be 'fail'",
        "error: report.json: does not follow from the evidence: windows.equal is 60, it should be 59",
    ]


def test_answers_that_were_changed_are_found_even_with_new_sums(build: FakeBuild) -> None:
    folder = proof(build, Faults(wrong_output_at=7))
    arrays = dict(np.load(folder / "outputs.npz"))
    arrays["outputs"] = build.arrays["outputs"]
    files.write_arrays(folder / "outputs.npz", arrays)
    assert found(resummed(folder)) == ["error: windows.tsv: its hashes are not those of the windows and answers"]


def test_evidence_that_cannot_be_read_is_told(build: FakeBuild) -> None:
    folder = proof(build)
    files.write_json(folder / "run.json", {"model": "demo"})
    assert "cannot be read: KeyError: 'runtime'" in found(resummed(folder))[0]


def test_a_folder_without_evidence_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="SHA256SUMS: does not exist yet") as raised:
        verify.main([str(tmp_path)])
    assert raised.value.hint == "run: python -m pipeline.hil"


@pytest.mark.slow
def test_the_model_is_run_again_and_must_give_the_reference(trained: Callable[[str], Path], tmp_path: Path) -> None:
    trained("rehab")
    for words in ("generate", "build"):
        assert stage(words, "rehab", "--board", "host").returncode == 0
    done = stage("hil", "--board", "host", "--name", "rehab", "--windows", "40", "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "evidence"
    assert verify.main([str(folder)]) == verify.main([str(folder), "--quick"]) == 0
    shutil.copytree(folder, tmp_path / "other")
    model = bytearray((folder / "model.tflite").read_bytes())
    (tmp_path / "other" / "model.tflite").write_bytes(bytes(model) + b"\0")
    assert "that the device ran" in found(resummed(tmp_path / "other"))[0]
    arrays = dict(np.load(folder / "reference.npz"))
    arrays["outputs"] = np.roll(arrays["outputs"], 1, axis=0)
    arrays["inputs"] = np.roll(arrays["inputs"], 1, axis=0)
    arrays["labels"] = np.roll(arrays["labels"], 1, axis=0)
    arrays["outputs"][0, 0] ^= 1
    files.write_arrays(folder / "reference.npz", arrays)
    assert any("of its outputs are not the model's" in line for line in found(resummed(folder)))
