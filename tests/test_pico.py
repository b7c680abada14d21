"""The Pico's image: boot stage, checksum, UF2 blocks, and its start-up in labwired."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import echo
import labwired
import pytest
from elftools.elf.elffile import ELFFile

from pipeline import build, uf2
from pipeline.problem import EXIT_USER, Problem

VECTORS = 0x10000100
SSI_CTRLR0, SSI_SPI_CTRLR0, VTOR = 0x18000000, 0x180000F4, 0xE000ED08
ROM_STACK = 0x20041F00  # where the boot ROM copies the boot stage to


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The echo firmware, built for pico; the working directory is its project."""
    echo.need("arm-none-eabi-gcc")
    root = tmp_path_factory.mktemp("pico")
    built = echo.make_project(root, "pico")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert build.main(["echo", "--board", "pico", "--runtime", "echo"]) == 0
        yield built


@pytest.fixture
def image(folder: Path, tmp_path: Path) -> Path:
    """A copy of the image that a test may spoil."""
    copy = tmp_path / "x.uf2"
    copy.write_bytes((folder / "firmware.uf2").read_bytes())
    return copy


def change(path: Path, at: int, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= value
    path.write_bytes(content)


def refused(*words: Path) -> str:
    with pytest.raises(Problem) as caught:
        uf2.main([str(word) for word in words])
    assert caught.value.code == EXIT_USER
    return caught.value.what


def test_the_boot_checksum_is_the_published_crc() -> None:
    assert uf2.checksum(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2's check value


def test_the_image_holds_what_the_elf_loads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert uf2.main([str(folder / "firmware.uf2")]) == 0
    content = uf2.unpack(folder / "firmware.uf2")
    assert capsys.readouterr().out.endswith(f"firmware.uf2: {len(content)} bytes of flash, checksum valid\n")
    assert len(content) % 4096 == 0
    with (folder / "firmware.elf").open("rb") as file:
        elf = ELFFile(file)
        reset = elf.get_section_by_name(".symtab").get_symbol_by_name("reset")[0]["st_value"]
        stack = elf.get_section_by_name(".symtab").get_symbol_by_name("stack_top")[0]["st_value"]
        for segment in elf.iter_segments("PT_LOAD"):
            start, data = segment["p_paddr"] - 0x10000000, segment.data()
            own = max(start, 256)  # the boot stage has its checksum only in the image
            assert content[own : start + len(data)] == data[own - start :]
    assert struct.unpack_from("<II", content, 0x100) == (stack, reset)
    assert stack == 0x20001000 and reset & 1
    assert json.loads((folder / "size.json").read_text())["flash"] == len(content)


def test_every_block_names_the_family_and_follows_the_one_before(folder: Path) -> None:
    raw = (folder / "firmware.uf2").read_bytes()
    heads = [struct.unpack_from("<8I", raw, at) for at in range(0, len(raw), 512)]
    assert {head[7] for head in heads} == {0xE48BFF56}
    assert [head[3] for head in heads] == [0x10000000 + 256 * i for i in range(len(heads))]
    assert [head[5:7] for head in heads] == [(i, len(heads)) for i in range(len(heads))]


def test_a_spoilt_image_is_refused(image: Path, tmp_path: Path) -> None:
    change(image, 512 + 12, 1)
    assert refused(image) == "block 1 is not that of an RP2040 image"
    image.write_bytes(image.read_bytes()[:700])
    assert "block 0 is not that of" in refused(image)
    image.write_bytes(b"")
    assert refused(image) == "is not a UF2 file: 0 bytes are no whole number of blocks"


def test_a_wrong_boot_checksum_is_refused(image: Path) -> None:
    change(image, 32 + 5, 1)
    assert refused(image) == "the checksum of its second boot stage is wrong, so the boot ROM would not start it"


def test_an_elf_without_a_boot_stage_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "has no second boot stage at 0x10000000" in refused(folder / "emulator.elf", tmp_path / "y.uf2")
    (tmp_path / "no.elf").write_text("text")
    assert refused(tmp_path / "no.elf", tmp_path / "y.uf2").startswith("is not an ELF file (")


def test_the_boot_stage_runs_wherever_the_rom_copies_it(folder: Path) -> None:
    (start,) = (folder / "objects").rglob("rp2040/start.o")
    listing = subprocess.run(["arm-none-eabi-readelf", "-r", start], capture_output=True, text=True, check=True).stdout
    assert ".rel.boot.text" in listing and ".rel.boot2" not in listing


def test_the_boot_stage_makes_flash_readable_and_goes_on_to_the_vectors(folder: Path, tmp_path: Path) -> None:
    """labwired starts at the vectors, so here reset leads to a copy of the boot stage in RAM, as the ROM makes one."""
    content = bytearray((folder / "firmware.elf").read_bytes())
    with (folder / "firmware.elf").open("rb") as file:
        elf = ELFFile(file)
        boot = next(elf.iter_segments("PT_LOAD"))
        reset = elf.get_section_by_name(".symtab").get_symbol_by_name("reset")[0]["st_value"] & ~1
    assert reset % 4 == 0
    jump = struct.pack("<HHI", 0x4800, 0x4700, ROM_STACK | 1)  # ldr r0, [pc]; bx r0; .word
    at = boot["p_offset"] + reset - boot["p_paddr"]
    content[at : at + len(jump)] = jump
    (tmp_path / "boot.elf").write_bytes(content)
    stage = uf2.unpack(folder / "firmware.uf2")[:256]
    with labwired.Sim(tmp_path / "boot.elf", chip="rp2040") as chip:
        for number, word in enumerate(struct.unpack("<64I", stage)):
            chip.write_u32(ROM_STACK + 4 * number, word)
        chip.run_for("100us")
        assert chip.read_u32(VTOR) == VECTORS
        assert chip.read_u32(SSI_CTRLR0) == 3 << 8 | 31 << 16
        assert chip.read_u32(SSI_SPI_CTRLR0) == 0x03 << 24 | 2 << 8 | 6 << 2


def test_start_up_brings_the_clock_to_125_mhz_and_the_line_to_115200_baud(folder: Path) -> None:
    with labwired.Sim(folder / "firmware.elf", chip="rp2040") as chip:
        chip.run_for("2ms")
        assert chip.read_u32(0x40008038) == 1 << 2  # the reference runs from the crystal
        assert chip.read_u32(0x40028008) == 125  # 12 MHz * 125 = 1500 MHz
        assert chip.read_u32(0x4002800C) == 6 << 16 | 2 << 12  # / 6 / 2
        assert chip.read_u32(0x40008044) == 1 << 1  # the system runs from the PLL
        assert (chip.read_u32(0x40034024), chip.read_u32(0x40034028)) == (67, 52)  # 125 MHz / 16 / 67.8125
        assert chip.read_uart_bytes() == b""
