"""PlatformIO projects: PlatformIO itself reads them, and every environment's sources have their types right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import echo
import pytest

from pipeline import flatbuffer, platformio
from pipeline.board import load_board
from pipeline.problem import Problem, Problems

sys.path.insert(0, str(echo.PROJECT / "benchmarks"))
from fusion import Network

NARROW = Network((1, 8, 8, 4)).conv(24, 3, 3).dense(32)
WIDE = Network((1, 256, 256, 1)).conv(16, 3, 3).dense(1)
CORE = Path("/usr/share/arduino/hardware/arduino/avr")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an echo project, generated for uno and mega2560."""
    monkeypatch.chdir(tmp_path)
    built = echo.make_project(tmp_path, "uno")
    other = built.with_name("mega2560-compiled")
    built.rename(built.with_name("uno-compiled"))
    other.mkdir()
    for path in other.with_name("uno-compiled").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    runtime = tmp_path / "firmware" / "runtimes" / "compiled" / "runtime.c"
    runtime.write_text((tmp_path / "firmware" / "runtimes" / "echo" / "runtime.c").read_text())
    return tmp_path


def pio(*words: str) -> str:
    argv = [sys.executable, "-m", "platformio", *words]
    quiet = {**os.environ, "PLATFORMIO_CORE_DIR": str(Path.cwd() / "pio"), "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}
    done = subprocess.run(argv, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_without_a_board_that_it_knows_there_is_no_project(project: Path) -> None:
    for name in ("uno", "mega2560", "nano33ble"):
        (project / "boards" / f"{name}.toml").unlink()
    for path in (project / "boards").glob("*-arduino.toml"):
        path.unlink()
    with pytest.raises(Problem, match="boards: there is none that PlatformIO knows"):
        platformio.main(["echo"])


def test_platformio_accepts_the_project_and_finds_one_environment_a_board(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert platformio.main(["echo", "uno", "mega2560"]) == 0
    place = "build/echo/platformio"
    assert capsys.readouterr().out == f"{place}: pio run -d {place} -e uno -t upload --upload-port PORT\n"
    sections = dict(json.loads(pio("project", "config", "-d", place, "--json-output")))
    assert {name for name in sections if name.startswith("env:")} == {"env:uno", "env:mega2560"}
    assert dict(sections["env:mega2560"]) == {
        "framework": ["arduino"],
        "platform": "atmelavr",
        "board": "megaatmega2560",
        "build_src_filter": ["+<mega2560/>"],
        "monitor_speed": 115200,
    }


def test_every_board_of_the_arduino_tools_is_an_environment() -> None:
    assert set(platformio.known_boards()) >= {"uno", "mega2560", "nano33ble", "esp32-arduino", "pico-arduino"}
    for name in platformio.known_boards():
        assert load_board(name).arduino


@pytest.mark.parametrize("board", ["uno", "mega2560"])
def test_the_sources_of_an_environment_have_their_types_right(project: Path, board: str) -> None:
    echo.need("avr-gcc", "avr-g++")
    platformio.main(["echo", "uno", "mega2560"])
    place = project / "build" / "echo" / "platformio" / "src" / board
    assert f'BOARD_NAME "{board}"' in (place / "src" / "board.h").read_text()
    flags = [
        "-mmcu=atmega2560",
        "-DF_CPU=16000000L",
        "-DARDUINO=10819",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsyntax-only",
    ]
    flags += [f"-I{CORE / 'cores' / 'arduino'}", f"-I{CORE / 'variants' / 'mega'}"]
    sources = sorted(place.rglob("*.c*"))
    assert {"main.cpp", "port.cpp", "session.c"} <= {source.name for source in sources}
    for source in sources:
        compiler = ["avr-g++", "-std=gnu++11"] if source.suffix == ".cpp" else ["avr-gcc", "-std=gnu11"]
        subprocess.run([*compiler, *flags, str(source)], check=True)


def test_code_that_was_not_generated_names_the_command(project: Path) -> None:
    (project / "build" / "echo" / "uno-compiled" / "plan.json").unlink()
    with pytest.raises(Problem, match="does not exist yet"):
        platformio.main(["echo", "uno"])


def test_boards_without_room_are_left_out_unless_they_are_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "build" / "echo" / "model.tflite").write_bytes(flatbuffer.write(NARROW.graph))
    assert platformio.main(["echo"]) == 0
    said = capsys.readouterr()
    assert re.match(r"without uno: needs \d+ bytes of arena, .*; needs \d+ bytes of flash", said.err)
    sections = dict(json.loads(pio("project", "config", "-d", "build/echo/platformio", "--json-output")))
    assert "env:mega2560" in sections and "env:uno" not in sections
    with pytest.raises(Problems, match="board uno has 1024"):
        platformio.main(["echo", "mega2560", "uno"])
    (project / "build" / "echo" / "model.tflite").write_bytes(flatbuffer.write(WIDE.graph))
    with pytest.raises(Problem, match="has a size of 1048576"):  # as on all boards
        platformio.main(["echo"])
    assert capsys.readouterr().err == ""


def test_a_board_that_platformio_does_not_know_is_refused(project: Path) -> None:
    with pytest.raises(Problem, match=r"board esp32: has no \[platformio\] in its file") as caught:
        platformio.main(["echo", "esp32"])
    assert "uno" in caught.value.hint
