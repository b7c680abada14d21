"""The package for somebody's own firmware: plain C on the host, an Arduino library on the real AVR core, in simavr."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import echo
import numpy as np
import pytest
from conftest import ROOT
from test_generate import gesture
from test_ready import MODEL

from pipeline import arduino, files, metrics, package, ready
from pipeline.board import load_board
from pipeline.emulator import command
from pipeline.problem import Problem, Problems

PLAIN = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror"]


@pytest.fixture
def tiny(tiny_copy: Path) -> Path:
    """A project with the trained model `tiny` and every board; the working directory is inside it."""
    shutil.copytree(ROOT / "firmware", tiny_copy / "firmware")
    shutil.copytree(ROOT / "boards", tiny_copy / "boards", dirs_exist_ok=True)
    return tiny_copy


def unpacked(made: Path, target: Path) -> Path:
    """The one folder that the zip holds, in `target`."""
    with zipfile.ZipFile(made) as archive:
        archive.extractall(target)
    (folder,) = target.iterdir()
    return folder


def example_on_avr(made: Path, board: str, folder: Path) -> list[str]:
    """Compile both examples with the real Arduino core, run the first in simavr: the three lines that it prints."""
    facts = load_board(board)
    assert facts.arduino
    library = unpacked(made, folder / "libraries")
    for example in ("live", "once"):
        sketch = library / "examples" / example / f"{example}.ino"
        failed = arduino.compile_sketch(facts.arduino, arduino.DEBIAN, sketch, folder / example, library.parent)
        assert failed is None, failed
    argv = command(facts, folder / "once" / "once.ino.elf")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while "pty: " not in (said := process.stdout.readline()):
            assert process.poll() is None
        with open(said.split()[1], "rb", buffering=0) as line:  # noqa: PTH123
            text = b""
            while text.count(b"\n") < 3:
                text += line.read(64)
        process.kill()
    return text.decode().splitlines()


def test_the_library_runs_its_recorded_window_on_an_arduino(tiny: Path, tmp_path: Path) -> None:
    echo.need("arduino-builder", "gcc")
    made = package.package("tiny", load_board("uno"))
    label, verdict, time = example_on_avr(made, "uno", tmp_path / "arduino")
    header = (tmp_path / "arduino" / "libraries" / "tiny" / "src" / "tiny.h").read_text()
    number = int(re.findall(r"#define TINY_EXAMPLE_LABEL (\d+)", header)[0])
    labels = json.loads((tiny / "build" / "tiny" / "quantize.json").read_text())["task"]["labels"]
    assert label == f"label: {labels[number]}"
    assert verdict == "as expected"
    assert int(time.removeprefix("microseconds: ")) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "board"), [("rehab", "mega2560"), ("bearing", "uno")])
def test_the_built_in_models_run_their_recorded_window_on_an_arduino(
    name: str, board: str, tmp_path: Path, trained: Callable[[str], Path]
) -> None:
    folder = trained(name)
    made = package.package(name, load_board(board))
    label, verdict, time = example_on_avr(made, board, tmp_path)
    labels = files.read_json(folder / "quantize.json", "make")["task"]["labels"]
    assert label.removeprefix("label: ") in labels[1:]
    assert verdict == "as expected"
    assert 1000 < int(time.removeprefix("microseconds: ")) < 1_000_000


PROGRAM = """
#include <stdio.h>
#include "NAME.h"
int main(void)
{
    static float window[NAME_UPPER_INPUT];
    static TYPE input[NAME_UPPER_INPUT], output[NAME_UPPER_OUTPUT];
    NAME_init();
    for (int i = 0; i < NAME_UPPER_SAMPLES; i++) {
        NAME_example_sample(i, window + i * NAME_UPPER_CHANNELS);
    }
    NAME_quantize(window, input);
    NAME_run(input, output);
    for (int i = 0; i < NAME_UPPER_INPUT; i++) {
        printf("%d ", input[i]);
    }
    printf("\\n");
    for (int i = 0; i < NAME_UPPER_OUTPUT; i++) {
        printf("%d ", output[i]);
    }
    printf("\\n%d %s\\n", LABEL == NAME_UPPER_EXAMPLE_LABEL, NAME_labels[LABEL]);
    return 0;
}
"""


def plain_c(made: Path, name: str, call: str, folder: Path, kind: str = "int8_t") -> list[str]:
    """Compile the package's C without a warning, as C and seen from C++, and run a program that uses all of it."""
    source = unpacked(made, folder) / "src"
    text = (
        re.sub(r"\bLABEL\b", call, PROGRAM)
        .replace("TYPE", kind)
        .replace("NAME_UPPER", name.upper())
        .replace("NAME", name)
    )
    (folder / "main.c").write_text(text)
    argv = ["gcc", *PLAIN, f"-I{source}", str(folder / "main.c"), *map(str, source.glob("*.c"))]
    subprocess.run([*argv, "-o", str(folder / "main")], check=True)
    subprocess.run(["g++", "-Wall", "-Werror", "-fsyntax-only", str(source / f"{name}.h")], check=True)
    done = subprocess.run([str(folder / "main")], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "call"), [("rehab", "NAME_label(output)"), ("bearing", "NAME_label(input, output)")])
def test_plain_c_gives_the_bytes_of_the_reference(
    name: str, call: str, tmp_path: Path, trained: Callable[[str], Path]
) -> None:
    folder = trained(name)
    inputs, outputs, verdict = plain_c(package.package(name, load_board("host")), name, call, tmp_path)
    reference = files.read_arrays(folder / "reference.npz", "make")
    given = np.array(inputs.split(), np.int8)
    (index,) = np.flatnonzero((reference["inputs"].reshape(-1, given.size) == given).all(axis=1))[:1]
    assert outputs.split() == [str(value) for value in reference["outputs"][index].reshape(-1)]
    assert verdict.startswith("1 ")


def test_plain_c_of_a_small_model_compiles_and_runs(tiny: Path, tmp_path: Path) -> None:
    made = package.package("tiny", load_board("host"))
    _, _, verdict = plain_c(made, "tiny", "NAME_label(output)", tmp_path / "plain")
    assert verdict.startswith("1 ")
    usage = (tmp_path / "plain" / "tiny" / "src" / "tiny.h").read_text().split("*/")[0]
    assert len(re.findall(r"^ \*     +\S", usage, re.MULTILINE)) == 9


READY = MODEL.replace("gesture", "wave")
DESCRIBED = READY.replace("Provenance, Ready", "Provenance, Ready, Window").replace(
    "windows=8", 'windows=8, window=Window((16, 3), 25.0, ("x", "y", "z"), "g")'
)


@pytest.fixture
def wave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the model `wave`, which brings its .tflite; the working directory is inside it."""
    root = tmp_path / "project"
    for part in ("firmware", "boards"):
        shutil.copytree(ROOT / part, root / part)
    (root / "models" / "wave").mkdir(parents=True)
    (root / "models" / "wave" / "wave.tflite").write_bytes(gesture())
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(("text", "samples", "hz"), [(READY, 48, None), (DESCRIBED, 16, "25")])
def test_a_model_that_brings_its_tflite_has_a_package_too(
    wave: Path, tmp_path: Path, text: str, samples: int, hz: str | None
) -> None:
    (wave / "models" / "wave" / "model.py").write_text(text)
    ready.make("wave")
    inputs, outputs, verdict = plain_c(
        package.package("wave", load_board("host")), "wave", "NAME_label(output)", tmp_path / "plain"
    )
    reference = files.read_arrays(wave / "build" / "wave" / "reference.npz", "make")
    given = np.array(inputs.split(), np.int8)
    (index,) = np.flatnonzero((reference["inputs"].reshape(-1, 48) == given).all(axis=1))
    assert outputs.split() == [str(value) for value in reference["outputs"][index].reshape(-1)]
    header = (tmp_path / "plain" / "wave" / "src" / "wave.h").read_text()
    assert f"#define WAVE_SAMPLES {samples}\n#define WAVE_CHANNELS {48 // samples}\n" in header
    assert re.findall(r"#define WAVE_HZ (.*)", header) == ([hz] if hz else [])
    assert verdict.startswith("1 ") and "A random window of the test split" in header and "Standardise" not in header


@pytest.mark.slow
def test_the_library_of_a_model_with_a_tflite_runs_on_an_arduino(wave: Path, tmp_path: Path) -> None:
    (wave / "models" / "wave" / "model.py").write_text(DESCRIBED)
    ready.make("wave")
    _, verdict, time = example_on_avr(package.package("wave", load_board("mega2560")), "mega2560", tmp_path / "avr")
    assert verdict == "as expected" and int(time.removeprefix("microseconds: ")) > 0


def test_an_example_has_the_first_label_where_no_other_is_right(wave: Path) -> None:
    (wave / "models" / "wave" / "model.py").write_text(READY)
    ready.make("wave")
    quantize = files.read_json(wave / "build" / "wave" / "quantize.json", "make")
    arrays = files.read_arrays(wave / "build" / "wave" / "reference.npz", "make")
    arrays["outputs"][3] = [9, 1, 2]
    for labels, expected in ((arrays["labels"] * 0 + 5, 0), (package.predictions(quantize, arrays), 1)):
        labels[3] = 0
        reals = metrics.dequantize(arrays["inputs"], quantize["input"])
        made = package._example(wave, quantize, {**arrays, "labels": labels}, reals)
        assert min(made["label"], 1) == expected


def test_a_window_of_another_size_is_refused(wave: Path) -> None:
    for old, new in (("(16, 3)", "(15, 3)"), ('"x", "y", "z"', '"a", "b", "c", "d", "e"')):
        (wave / "models" / "wave" / "model.py").write_text(DESCRIBED.replace(old, new))
        with pytest.raises(Problem, match=r"READY's window is \(1[56], 3\) of [35] channels, the model takes 48"):
            ready.make("wave")


def test_a_model_that_names_its_class_has_no_package() -> None:
    output = {"scale": 1.0, "zero_point": 0, "shape": [1], "classes": 2}
    with pytest.raises(Problem, match="decides by the value of its only output"):
        package.check_plain("wave", {"input": {"shape": [1]}, "output": output})


def test_a_package_is_the_same_every_time_and_holds_what_each_framework_needs(tiny: Path) -> None:
    made = package.package("tiny", load_board("uno"))
    first = made.read_bytes()
    assert package.main(["tiny", "--board", "uno"]) == 0
    assert made.read_bytes() == first
    with zipfile.ZipFile(made) as archive:
        names = set(archive.namelist())
        assert archive.read("tiny/src/nn_sparse.h") == (ROOT / "firmware/kernels/avr/nn_sparse.h").read_bytes()
        properties = dict(line.split("=", 1) for line in archive.read("tiny/library.properties").decode().splitlines())
        assert "tiny_run\tKEYWORD2" in archive.read("tiny/keywords.txt").decode().splitlines()
    assert {"tiny/library.properties", "tiny/CMakeLists.txt", "tiny/idf_component.yml", "tiny/src/tiny.h"} <= names
    assert {"tiny/examples/once/once.ino", "tiny/examples/live/live.ino"} <= names
    assert (properties["name"], properties["architectures"], properties["includes"]) == ("tiny", "*", "tiny.h")


def test_quantizing_in_c_clamps_and_rounds() -> None:
    raw = np.array([[-1e9, -0.6, -0.4, 0.4, 0.6, 1e9]], np.float32)
    one = np.ones(6, np.float32)
    for dtype in (np.dtype(np.int8), np.dtype(np.int16)):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        assert package.quantized(raw, one, one * 0, dtype).tolist() == [[low, -1, 0, 0, 1, high]]


def test_a_package_of_an_untrained_model_names_the_stage(tiny_project: Path) -> None:
    shutil.copytree(ROOT / "boards", tiny_project / "boards", dirs_exist_ok=True)
    shutil.copytree(ROOT / "firmware", tiny_project / "firmware")
    with pytest.raises(Problem, match="does not exist yet") as caught:
        package.main(["tiny", "--board", "uno"])
    assert caught.value.hint == "run: python -m pipeline.quantize tiny"


def test_a_package_whose_arena_does_not_fit_is_refused(tiny: Path) -> None:
    path = tiny / "boards" / "uno.toml"
    path.write_text(re.sub("arena_bytes = .*", "arena_bytes = 1", path.read_text()))
    with pytest.raises((Problem, Problems), match="of arena, board uno has 1"):
        package.package("tiny", load_board("uno"))


def test_a_model_that_is_never_right_has_no_example(tiny: Path) -> None:
    path = tiny / "build" / "tiny" / "reference.npz"
    arrays = files.read_arrays(path, "make")
    files.write_arrays(path, {**arrays, "labels": arrays["labels"] * 0 - 1})
    with pytest.raises(Problem, match="has no test window that the model labels rightly"):
        package.package("tiny", load_board("uno"))
