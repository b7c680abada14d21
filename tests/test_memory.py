"""Where the arena and the weights lie: in the memories that a board's file names, with the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, stage
from elftools.elf.elffile import ELFFile

from pipeline import board, memory, sketch
from pipeline.memory import Memory
from pipeline.problem import Problem, Problems


@pytest.fixture
def project(tiny_copy: Path) -> Path:
    """A project with the trained model `tiny` and all boards."""
    for name in ("boards", "firmware"):
        shutil.copytree(ROOT / name, tiny_copy / name, dirs_exist_ok=True)
    return tiny_copy


def write_board(root: Path, like: str, **places: str) -> str:
    """A board `placed` with these memories; its name."""
    lines = [f'{what} = "{where}"' for what, where in places.items()]
    (root / "boards" / "placed.toml").write_text("\n".join([f'like = "{like}"', "[memory]", *lines, ""]))
    return "placed"


def addresses(elf: Path) -> tuple[int, set[int]]:
    """Of the arena, and of the weights."""
    with elf.open("rb") as file:
        symbols = {each.name: each["st_value"] for each in ELFFile(file).get_section_by_name(".symtab").iter_symbols()}
    return symbols["arena"], {at for name, at in symbols.items() if name.startswith("tiny_") and "weights" in name}


PLACES = [
    ("cortex-m4", {"arena": "psram", "weights": "ram"}, 0x21000000, 0x20000000),
    ("pico", {"weights": "flash"}, 0x20000000, 0x10000000),
]


@pytest.mark.parametrize(("like", "places", "arena", "weights"), PLACES)
def test_arena_and_weights_lie_where_the_board_says_and_no_byte_changes(
    project: Path, like: str, places: dict[str, str], arena: int, weights: int
) -> None:
    name = write_board(project, like, **places)
    for words in (["generate", "tiny"], ["build", "tiny"], ["hil", "--name", "tiny", "--windows", "2"]):
        done = stage(*words, "--board", name, cwd=project)
        assert done.returncode == 0 or words[0] == "hil", done.stdout + done.stderr
    folder = project / "build" / "tiny" / f"{name}-compiled"
    report = json.loads((folder / "report.json").read_text())
    assert report["windows"]["equal"] == 2 and not report["windows"]["failed"]
    at, constants = addresses(folder / "firmware.elf")
    assert at >> 24 == arena >> 24 and constants and {each >> 24 for each in constants} == {weights >> 24}
    with (folder / "firmware.elf").open("rb") as file:
        writable = [s for s in ELFFile(file).iter_sections() if s["sh_flags"] & 1 or s.name == ".data"]
    apart = report["size"]["arena"] if places.get("arena") == "psram" else 0
    assert report["size"]["ram"] == sum(section["sh_size"] for section in writable) - apart


def said(name: str) -> list[str]:
    with pytest.raises((Problem, Problems)) as caught:
        board.load_board(name)
    error = caught.value
    return [str(each) for each in (error.problems if isinstance(error, Problems) else [error])]


def test_a_memory_that_the_port_does_not_offer_is_refused_with_those_it_does(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    name = write_board(project, "cortex-m4", arena="psrm", weights="psram")
    assert said(name) == [
        "boards/placed.toml: [memory] arena: port mps2 has no memory psrm",
        "boards/placed.toml: [memory] weights: port mps2 has no memory psram",
    ]
    name = write_board(project, "esp32", arena="iram")
    assert said(name) == ["boards/placed.toml: [memory] arena: port esp32 has no memory iram"]
    found = memory.unknown(Memory(arena="psrm"), project / "firmware" / "ports" / "mps2", "x")
    assert found[0].hint == "did you mean psram?"
    found = memory.unknown(Memory(arena="iram"), project / "firmware" / "ports" / "esp32", "x")
    assert found[0].hint == "leave it out: firmware/ports/esp32 offers no choice"


@pytest.mark.parametrize("like", ["esp32-idf", "esp32-arduino"])
def test_projects_of_other_tools_get_the_vendors_attributes(
    project: Path, monkeypatch: pytest.MonkeyPatch, like: str
) -> None:
    monkeypatch.chdir(project)
    name = write_board(project, like, arena="psram", weights="dram")
    assert stage("generate", "tiny", "--board", name, cwd=project).returncode == 0
    made = stage("idf" if "idf" in like else "sketch", "tiny", "--board", name, cwd=project)
    assert made.returncode == 0, made.stderr
    folder = project / "build" / "tiny" / f"{name}-compiled"
    sources = folder / "idf" / "main" if "idf" in like else folder / "sketch" / "tiny" / "src"
    facts = (sources / "board.h").read_text()
    assert '#include "memory.h"\n#define ARENA_PLACE ARENA_IN_PSRAM\n#define NN_WEIGHTS WEIGHTS_IN_DRAM\n' in facts
    offered = (sources / "memory.h").read_text()
    assert "ARENA_IN_PSRAM EXT_RAM_BSS_ATTR" in offered and "WEIGHTS_IN_DRAM DRAM_ATTR" in offered
    assert "] NN_WEIGHTS = {" in (sources / "weights.c").read_text()
    assert sketch.SOURCES and "ARENA_PLACE;" in (sources / "runtime.c").read_text()
    if "idf" in like:
        assert "CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY=y" in (folder / "idf" / "sdkconfig.defaults").read_text()
