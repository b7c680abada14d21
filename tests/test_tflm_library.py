"""TFLite Micro from the user's own library: found or refused, and where one is given, run on the emulated Cortex-M4."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tflite
from conftest import ROOT, stage

from pipeline import build, files, tflm_bisect
from pipeline.ctext import flatbuffer_array, origin, render
from pipeline.problem import EXIT_TOOL, Problem, Problems
from pipeline.tflm_bisect import bisect
from pipeline.tflm_library import Library, find_library

KEYS = ("TFLM_INCLUDE", "TFLM_LIBRARY", "TFLM_FLAGS")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a board's name, a stand-in for TFLite Micro beside it, and nothing in the environment."""
    (tmp_path / "boards").mkdir()
    (tmp_path / "models").mkdir()
    for header in ("micro/tensorflow/lite/micro/micro_interpreter.h", "flat/flatbuffers/flatbuffers.h"):
        (tmp_path / header).parent.mkdir(parents=True)
        (tmp_path / header).touch()
    (tmp_path / "micro.a").write_bytes(b"!<arch>\n")
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(board: str = "pico") -> list[str]:
    with pytest.raises((Problem, Problems)) as caught:
        find_library(board)
    return caught.value.lines()


def test_without_a_library_the_three_ways_to_one_are_named(project: Path) -> None:
    with pytest.raises(Problem) as caught:
        find_library("cortex-m4")
    assert caught.value.code == EXIT_TOOL
    error, hint = caught.value.lines()
    assert error == ("error: runtime=tflm: needs TFLite Micro, which this project does not contain:"
                     " no tflm_include and no tflm_library is given")  # fmt: skip
    for way in ("Arduino-ESP32 core 3.x", "espressif/esp-tflite-micro", "tflm_include=FOLDER tflm_library=FILE"):
        assert way in hint


def test_half_of_it_is_not_enough(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFLM_INCLUDE", str(project / "micro"))
    assert refused()[0].endswith("does not contain: no tflm_library is given")


def test_the_environment_names_it_with_several_folders_and_flags(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFLM_INCLUDE", f"{project / 'micro'}:{project / 'flat'}")
    monkeypatch.setenv("TFLM_LIBRARY", "micro.a")
    monkeypatch.setenv("TFLM_FLAGS", "-DCMSIS_NN -DOTHER")
    found = find_library("pico")
    assert found == Library((project / "micro", project / "flat"), project / "micro.a", ("-DCMSIS_NN", "-DOTHER"))
    assert re.fullmatch(r"micro\.a [0-9a-f]{8}", found.build)
    flags = build.cpp_flags(found)
    assert {f"-isystem{project / 'micro'}", "-DCMSIS_NN", "-std=c++17", "-DTF_LITE_STATIC_MEMORY"} <= set(flags)


@pytest.mark.parametrize("place", ["third_party", "tensorflow/lite/micro/tools/make/downloads"])
def test_third_party_headers_are_found_where_tflite_micro_keeps_them(
    place: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project / "flat", project / "micro" / place / "flatbuffers" / "include")
    monkeypatch.setenv("TFLM_INCLUDE", str(project / "micro"))
    monkeypatch.setenv("TFLM_LIBRARY", "micro.a")
    assert project / "micro" / place / "flatbuffers" / "include" in find_library("pico").include


def test_local_toml_holds_the_same_keys_for_all_boards_or_for_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "one.a").touch()
    (project / "boards" / "local.toml").write_text(
        f'tflm_include = "{project / "micro"}:{project / "flat"}"\ntflm_library = "micro.a"\n'
        '[pico]\ntflm_library = "one.a"\n'
    )
    assert find_library("cortex-m4").library.name == "micro.a"
    assert find_library("pico").library.name == "one.a"
    monkeypatch.setenv("TFLM_LIBRARY", "micro.a")
    assert find_library("pico").library.name == "micro.a"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('tflm_inclde = "x"', ["boards/local.toml: has no key tflm_inclde", "did you mean tflm_include?"]),
        ("tflm_library = 3", ["boards/local.toml: tflm_library must be text, not 3"]),
        ("tflm_library", ["boards/local.toml: is not TOML"]),
    ],
)
def test_mistakes_in_local_toml_are_named(text: str, words: list[str], project: Path) -> None:
    (project / "boards" / "local.toml").write_text(text)
    said = "\n".join(refused())
    assert all(word in said for word in words), said


def test_what_is_not_there_is_named_all_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFLM_INCLUDE", str(project / "elsewhere"))
    monkeypatch.setenv("TFLM_LIBRARY", "none.a")
    said = "\n".join(refused())
    assert f"tflm_library: there is no file {project / 'none.a'}" in said
    assert f"{project / 'elsewhere'} has no tensorflow/lite/micro/micro_interpreter.h" in said
    assert f"{project / 'elsewhere'} has no flatbuffers/flatbuffers.h" in said
    assert "third-party headers that are not inside it go behind it" in said


def test_local_toml_is_no_board(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    from pipeline.files import board_names

    (project / "boards" / "local.toml").touch()
    (project / "boards" / "pico.toml").touch()
    assert board_names() == ["pico"]


def test_bisecting_ends_at_the_least_that_works() -> None:
    tried: list[int] = []

    def works(arena: int) -> bool:
        tried.append(arena)
        return arena >= 1234

    assert bisect(0, 4000, works) == 1248
    assert all(arena % 16 == 0 for arena in tried)
    assert len(tried) <= 9


# With a library: TFLM_INCLUDE, TFLM_LIBRARY (and TFLM_FLAGS=-DCMSIS_NN for one with those kernels) say where it is.


@pytest.fixture
def library() -> None:
    if not (os.environ.get("TFLM_INCLUDE") and os.environ.get("TFLM_LIBRARY")):
        pytest.skip(
            "TFLM_INCLUDE and TFLM_LIBRARY are not set: no library of TFLite Micro for the Cortex-M4 was linked"
        )


def firmware_of(name: str, trained: Callable[[str], Path], root: Path) -> Path:
    """A project in a folder with a trained model, generated for the Cortex-M4 with TFLite Micro."""
    for part in ("boards", "firmware"):
        shutil.copytree(ROOT / part, root / part)
    (root / "models" / name).mkdir(parents=True)
    (root / "models" / name / "model.py").touch()
    (root / "build" / name).mkdir(parents=True)
    for file in ("model.tflite", "quantize.json", "reference.npz"):
        shutil.copy(trained(name) / file, root / "build" / name / file)
    run("generate", name, root)
    return root / "build" / name / "cortex-m4-tflm"


def run(step: str, name: str, root: Path, *options: str, codes: tuple[int, ...] = (0,)) -> str:
    name_given = ["--name", name] if step == "hil" else [name]
    done: subprocess.CompletedProcess[str] = stage(
        step, *name_given, "--board", "cortex-m4", "--runtime", "tflm", *options, cwd=root
    )
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", ["rehab", "bearing"])
def test_every_window_is_equal_with_the_users_library(
    name: str, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = firmware_of(name, trained, tmp_path)
    run("build", name, tmp_path)
    run("hil", name, tmp_path, codes=(0, 1))  # 1: reference kernels may be slower than the model's limit
    report = json.loads((folder / "report.json").read_text())
    reference = files.read_arrays(tmp_path / "build" / name / "reference.npz", "make")["outputs"]
    assert report["windows"]["equal"] == report["windows"]["total"] == len(reference)
    assert np.array_equal(files.read_arrays(folder / "outputs.npz", "make")["outputs"], reference)
    assert report["device"]["runtime"] == "tflm"
    assert Path(os.environ["TFLM_LIBRARY"]).name in report["device"]["kernel_build"]
    listing = subprocess.run(["arm-none-eabi-size", "-A", str(folder / "firmware.elf")], capture_output=True, text=True)
    assert ".init_array" not in listing.stdout, "a constructor that nobody calls"


def test_size_and_arena_are_those_of_the_plan(library: None, trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = firmware_of("bearing", trained, tmp_path)
    run("build", "bearing", tmp_path)
    size = json.loads((folder / "size.json").read_text())
    plan = json.loads((folder / "plan.json").read_text())
    assert size["arena"] == plan["arena_bytes"] < size["ram"]
    assert size["weights"] == plan["weights_bytes"] < size["flash"]


def spoil(folder: Path, name: str, pattern: str, replacement: str) -> None:
    path = folder / name
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert count
    path.write_text(text)


def fault(name: str, root: Path) -> str:
    """Build the spoiled firmware, run one window, and give the harness's error."""
    run("build", name, root)
    return run("hil", name, root, "--windows", "1", codes=(3,))


@pytest.mark.usefixtures("library")
def test_an_arena_too_small_is_a_fault_in_tflite_micros_words(trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = firmware_of("bearing", trained, tmp_path)
    spoil(folder, "model.h", r"^#define MODEL_ARENA_BYTES \d+", "#define MODEL_ARENA_BYTES 1040")
    spoil(folder, "plan.json", r'"arena_bytes": \d+', '"arena_bytes": 1040')
    assert "Failed to allocate" in fault("bearing", tmp_path)


@pytest.mark.usefixtures("library")
def test_a_missing_operator_is_a_fault_in_tflite_micros_words(trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = firmware_of("bearing", trained, tmp_path)
    spoil(folder, "resolver.h", r"^.*AddFullyConnected.*\n", "    TF_LITE_ENSURE_STATUS(resolver.AddRelu());\n")
    assert "Didn't find op for builtin opcode 'FULLY_CONNECTED'" in fault("bearing", tmp_path)


@pytest.mark.usefixtures("library")
def test_another_schema_version_is_a_fault(trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = firmware_of("bearing", trained, tmp_path)
    content = bytearray((tmp_path / "build" / "bearing" / "model.tflite").read_bytes())
    table = tflite.Model.GetRootAs(bytes(content), 0)._tab
    content[table.Offset(4) + table.Pos] = 9
    model_id = files.model_id((tmp_path / "build" / "bearing" / "model.tflite").read_bytes())
    view = {**origin("bearing", model_id, "0"), **flatbuffer_array(bytes(content))}
    (folder / "model_data.c").write_text(render("model_data.c.j2", view))
    assert "the model is of schema version 9, this TFLite Micro reads 3" in fault("bearing", tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_the_bisected_arena_runs_and_16_bytes_less_does_not(trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = firmware_of("bearing", trained, tmp_path)
    planned = json.loads((folder / "plan.json").read_text())["arena_bytes"]
    done = stage("tflm_bisect", "bearing", "--board", "cortex-m4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    least = json.loads((folder / "arena.json").read_text())["least"]
    assert f"{least} bytes are enough, {planned} were planned, now {least + 64}" in done.stdout
    assert f"{least} bytes: runs" in done.stderr
    assert f"{least - 16} bytes: " in done.stderr
    run("build", "bearing", tmp_path)
    assert json.loads((folder / "size.json").read_text())["arena"] == least + 64 < planned
    run("hil", "bearing", tmp_path, "--windows", "9")


# Bisecting without a library: its steps stand in.


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> build.Firmware:
    """A firmware to bisect, whose generated code is there already."""
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "build" / "rehab" / "cortex-m4-tflm"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"arena_bytes": 4096, "model_id": "00"}))
    board = build.load_board("cortex-m4")
    library = Library((), tmp_path / "none.a", ())
    firmware = build.Firmware(tmp_path, folder.relative_to(tmp_path), "rehab", board, "tflm", board.build.compilers[0],
                              library)  # fmt: skip
    monkeypatch.setattr(tflm_bisect, "firmware", lambda *_: firmware)
    monkeypatch.setattr(tflm_bisect, "generate", lambda _: 0)
    return firmware


def test_bisecting_a_model_that_does_not_run_at_all_is_refused(
    made: build.Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tflm_bisect, "runs", lambda *_: False)
    with pytest.raises(Problem, match="does not run in 4096 bytes, which should be enough"):
        tflm_bisect.main(["rehab", "--board", "cortex-m4"])


def test_bisecting_on_a_board_without_an_emulator_is_refused(
    made: build.Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(made, board=replace(made.board, emulator=None))
    monkeypatch.setattr(tflm_bisect, "firmware", lambda *_: bare)
    with pytest.raises(Problem, match="board cortex-m4: has no emulator to try arenas in"):
        tflm_bisect.main(["rehab", "--board", "cortex-m4"])


def test_an_arena_that_makes_wrong_bytes_ends_the_bisection(
    made: build.Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*tflm_bisect.GENERATED, "model.h"):
        (made.root / made.folder / name).write_text("#define MODEL_ARENA_BYTES 4096\n")
    arrays = {"inputs": np.zeros((1, 4), np.int8), "outputs": np.ones((1, 4), np.int8)}
    monkeypatch.setattr(tflm_bisect.files, "read_arrays", lambda *_: arrays)
    monkeypatch.setattr(tflm_bisect, "build", lambda _: {})
    monkeypatch.setattr(tflm_bisect, "emulate", lambda *_: nullcontext("pty"))
    monkeypatch.setattr(tflm_bisect.transport, "connect", lambda _: SimpleNamespace(close=lambda: None))
    answers = SimpleNamespace(hello=lambda: None, run=lambda _: [SimpleNamespace(output=b"\0\0\0\0")])
    monkeypatch.setattr(tflm_bisect, "Device", lambda _: answers)
    with pytest.raises(Problem, match="with an arena of 2048 bytes its first window is not the reference's"):
        tflm_bisect.runs(made, 2048)
    assert "MODEL_ARENA_BYTES 2048" in (made.root / made.folder / "bisect" / "model.h").read_text()
