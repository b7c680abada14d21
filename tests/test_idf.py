"""ESP-IDF projects: what is in them, types checked against stand-ins for ESP-IDF's headers, and building with idf.py.

ESP-IDF is not here: what its own build makes of the project is for a machine that has it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import echo
import pytest

from pipeline import adopt, build, flash, idf
from pipeline.board import load_board
from pipeline.problem import EXIT_TOOL, EXIT_USER, Problem

STUBS = echo.FIXTURES / "idf"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The firmware's folder in an echo project for esp32c3-idf, which is the working directory; no idf.py on PATH."""
    built = echo.make_project(tmp_path, "esp32c3-idf")
    monkeypatch.chdir(tmp_path)
    return built


def fake_tool(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put an idf.py on PATH that runs a shell script."""
    folder.mkdir()
    (folder / "idf.py").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "idf.py").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def linked(folder: Path) -> Path:
    """An ELF for adopting: the bare-metal one of the same chip."""
    echo.need("riscv64-unknown-elf-gcc")
    other = folder.with_name("esp32c3-echo")
    other.mkdir()
    for name in ("model.h", "plan.json"):
        (other / name).write_bytes((folder / name).read_bytes())
    assert build.main(["echo", "--board", "esp32c3", "--runtime", "echo"]) == 0
    return other / "firmware.elf"


def test_a_project_is_written_and_names_the_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert idf.main(["echo", "--board", "esp32c3-idf", "--runtime", "echo"]) == 0
    place = "build/echo/esp32c3-idf-echo/idf"
    assert capsys.readouterr().out == f"{place}: idf.py -C {place} build, then idf.py -C {place} -p PORT flash\n"
    project = folder / "idf"
    assert "project(echo)" in (project / "CMakeLists.txt").read_text()
    settings = (project / "sdkconfig.defaults").read_text()
    assert 'CONFIG_IDF_TARGET="esp32c3"' in settings and "CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ_160=y" in settings
    assert "CONFIG_ESP_CONSOLE_NONE=y" in settings  # no word of another on the serial line
    registered = (project / "main" / "CMakeLists.txt").read_text()
    sources = {path.name for path in (project / "main").glob("*.c*")}
    assert {line.strip(' "') for line in registered.splitlines() if line.endswith('.c"')} == sources
    assert {"port.c", "session.c", "wire.c", "crc32.c", "runtime.c"} <= sources and "main.c" not in sources
    assert 'BOARD_NAME "esp32c3-idf"' in (project / "main" / "board.h").read_text()
    assert "tflite" not in (project / "main" / "idf_component.yml").read_text()


@pytest.mark.parametrize("board", ["esp32-idf", "esp32s3-idf", "esp32c3-idf"])
@pytest.mark.parametrize(
    "compiler",
    [
        ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"),
        ("xtensa-lx106-elf-gcc", "-ffreestanding"),
    ],
    ids=["riscv", "xtensa"],
)
def test_every_source_of_a_project_has_its_types_right(
    board: str, compiler: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo.need(compiler[0])
    folder = echo.make_project(tmp_path, board)
    monkeypatch.chdir(tmp_path)
    assert idf.main(["echo", "--board", board, "--runtime", "echo"]) == 0
    for source in sorted((folder / "idf" / "main").glob("*.c")):
        argv = [*compiler, "-std=gnu17", "-O2", *WARNINGS, f"-I{STUBS}", "-fsyntax-only", str(source)]
        subprocess.run(argv, check=True)


def test_the_tflm_runtime_comes_as_a_component(tiny_copy: Path) -> None:
    from conftest import stage

    for name in ("boards", "firmware"):
        if not (tiny_copy / name).exists():
            (tiny_copy / name).symlink_to(echo.PROJECT / name)
    for path in (echo.PROJECT / "boards").glob("*-idf.toml"):
        (tiny_copy / "boards" / path.name).write_text(path.read_text())
    for words in (["generate", "tiny"], ["idf", "tiny"]):
        done = stage(*words, "--board", "esp32s3-idf", "--runtime", "tflm", cwd=tiny_copy)
        assert done.returncode == 0, done.stderr
    project = tiny_copy / "build" / "tiny" / "esp32s3-idf-tflm" / "idf"
    assert 'espressif/esp-tflite-micro: "^1.3.1"' in (project / "main" / "idf_component.yml").read_text()
    sources = {path.name for path in (project / "main").glob("*.c*")}
    assert {"runtime.cpp", "model_data.c"} <= sources and "weights.c" not in sources
    assert "CONFIG_NN_ANSI_C" in (project / "sdkconfig.defaults").read_text()


def test_two_sources_of_one_name_both_get_a_place(folder: Path) -> None:
    (Path("firmware/runtimes/echo") / "wire.c").write_text("int second_of_the_name;\n")
    idf.main(["echo", "--board", "esp32c3-idf", "--runtime", "echo"])
    named = sorted(path.name for path in (folder / "idf" / "main").glob("*wire.c"))
    assert len(named) == 2 and "wire.c" in named
    both = "".join((folder / "idf" / "main" / name).read_text() for name in named)
    assert "second_of_the_name" in both and "wire_in_take" in both


def test_without_idf_py_the_project_is_written_and_the_way_on_is_said(folder: Path) -> None:
    with pytest.raises(Problem) as caught:
        build.main(["echo", "--board", "esp32c3-idf", "--runtime", "echo"])
    place = "build/echo/esp32c3-idf-echo/idf"
    assert str(caught.value) == f"idf.py: is not installed, so {place} is written but not built"
    assert caught.value.code == EXIT_TOOL and "export.sh" in caught.value.hint
    assert (folder / "idf" / "CMakeLists.txt").exists()


def test_a_board_of_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(Problem, match="board host: is not built by ESP-IDF"):
        idf.main(["echo", "--board", "host", "--runtime", "echo"])


def test_idf_py_builds_it_and_flashes_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elf = linked(folder)
    script = (
        f'echo "$@" >> {tmp_path}/calls; mkdir -p $2/build; cd $2/build; cp {elf} echo.elf; head -c 99 {elf} > echo.bin'
    )
    fake_tool(tmp_path / "bin", monkeypatch, script)
    assert build.main(["echo", "--board", "esp32c3-idf", "--runtime", "echo"]) == 0
    size = json.loads((folder / "size.json").read_text())
    assert (size["image"], size["elf"], size["flash"]) == ("firmware.bin", "firmware.elf", 99)
    assert size["compiler"]
    (tmp_path / "port").touch()
    flash.flash(load_board("esp32c3-idf"), folder, str(tmp_path / "port"))
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [f"-C {folder / 'idf'} build", f"-C {folder / 'idf'} -p {tmp_path / 'port'} flash"]


def test_what_idf_py_says_when_it_fails_is_passed_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path / "bin", monkeypatch, "echo no such target; exit 2")
    with pytest.raises(Problem, match=r"(?s)idf.py: failed with code 2.*no such target"):
        build.main(["echo", "--board", "esp32c3-idf", "--runtime", "echo"])


def test_an_elf_that_another_tool_built_is_adopted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elf = linked(folder)
    assert adopt.main(["echo", str(elf), "--board", "esp32c3-idf", "--runtime", "echo"]) == 0
    assert capsys.readouterr().out.endswith(f"build/echo/esp32c3-idf-echo/size.json: sizes of {elf}\n")
    size = json.loads((folder / "size.json").read_text())
    assert (size["board"], size["image"]) == ("esp32c3-idf", None)
    assert size["flash"] > 1000 and size["limits"]["ram"] == 327_680


def test_what_is_no_elf_is_not_adopted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"image")
    with pytest.raises(Problem, match=r"x.bin: is not an ELF file") as caught:
        adopt.main(["echo", str(tmp_path / "x.bin"), "--board", "esp32c3-idf", "--runtime", "echo"])
    assert caught.value.code == EXIT_USER
    (tmp_path / "x.c").write_text("int x;")
    subprocess.run(["gcc", "-c", "x.c"], cwd=tmp_path, check=True)
    with pytest.raises(Problem, match=r"x\.o: is an object, not yet linked"):
        adopt.main(["echo", str(tmp_path / "x.o"), "--board", "esp32c3-idf", "--runtime", "echo"])
    with pytest.raises(Problem, match="does not exist yet"):
        adopt.main(["echo", "nothing.elf", "--board", "esp32c3-idf", "--runtime", "echo"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("board=esp32c3", "framework=idf"), "now: board=esp32c3-idf "),
        (("board=esp32c3-idf", "framework=idf"), "now: board=esp32c3-idf "),
        (("board=uno", "framework=arduino"), "now: board=uno "),
        (("board=esp32",), "now: board=esp32 "),
        (("board=host", "framework=idf"), "framework=idf: there is no boards/host-idf.toml"),
        (("framework=mbed",), "framework=mbed: there are arduino, idf and platformio"),
    ],
)
def test_make_takes_a_framework_for_the_board_of_that_ending(words: tuple[str, ...], said: str) -> None:
    done = subprocess.run(["make", "help", *words], cwd=echo.PROJECT, capture_output=True, text=True)
    assert said in done.stdout + done.stderr
    assert (done.returncode == 0) == said.startswith("now")
