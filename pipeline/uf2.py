"""UF2, the file that a board in its bootloader takes as a drive: made of an ELF and checked; RP2040 is the family here.

A UF2 file is a row of blocks of 512 bytes, each with an address and 256 bytes of content for it. The RP2040's boot ROM
starts only an image whose first 256 bytes, the second boot stage, end in their own checksum."""

from __future__ import annotations

import argparse
import struct
import sys
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from pipeline import files
from pipeline.problem import Problem, run

FAMILY = 0xE48BFF56  # RP2040
FLASH = 0x10000000
BOOT_BYTES = 256
SECTOR_BYTES = 4096  # flash is erased by sectors, so whole ones are written
PAYLOAD_BYTES = 256
HEAD = struct.Struct("<8I")  # magic, magic, flags, address, payload bytes, block number, blocks, family
MAGIC = (0x0A324655, 0x9E5D5157)
MAGIC_END = 0x0AB16F30
FAMILY_GIVEN = 0x2000
BLOCK_BYTES = 512
POLYNOMIAL = 0x04C11DB7


def checksum(content: bytes) -> int:
    """CRC-32 as the boot ROM has it: most significant bit first, all ones at the start, not inverted at the end."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (POLYNOMIAL if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def flash_content(elf: Path) -> bytes:
    """What an ELF loads from the beginning of flash on, with the boot stage's checksum, in whole sectors."""
    content = bytearray()
    try:
        with elf.open("rb") as file:
            for segment in ELFFile(file).iter_segments("PT_LOAD"):
                start, data = segment["p_paddr"] - FLASH, segment.data()
                if data and start >= 0:
                    content.extend(bytes(max(0, start + len(data) - len(content))))
                    content[start : start + len(data)] = data
    except ELFError as error:
        raise Problem(elf, f"is not an ELF file ({error})") from error
    if not any(content[:BOOT_BYTES]):
        raise Problem(elf, f"has no second boot stage at {FLASH:#x}", "its port's linker script must put one there")
    content[BOOT_BYTES - 4 : BOOT_BYTES] = struct.pack("<I", checksum(bytes(content[: BOOT_BYTES - 4])))
    return bytes(content) + bytes(-len(content) % SECTOR_BYTES)


def pack(content: bytes) -> bytes:
    """Flash content as UF2 blocks."""
    count = len(content) // PAYLOAD_BYTES
    blocks = []
    for number in range(count):
        start = number * PAYLOAD_BYTES
        head = HEAD.pack(*MAGIC, FAMILY_GIVEN, FLASH + start, PAYLOAD_BYTES, number, count, FAMILY)
        body = content[start : start + PAYLOAD_BYTES].ljust(BLOCK_BYTES - HEAD.size - 4, b"\0")
        blocks.append(head + body + struct.pack("<I", MAGIC_END))
    return b"".join(blocks)


def unpack(image: Path) -> bytes:
    """The flash content of a UF2 file whose every block and boot checksum are right."""
    raw = image.read_bytes()
    count, rest = divmod(len(raw), BLOCK_BYTES)
    content = b""
    for number in range(count):
        block = raw[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
        expected = (*MAGIC, FAMILY_GIVEN, FLASH + number * PAYLOAD_BYTES, PAYLOAD_BYTES, number, count, FAMILY)
        if HEAD.unpack_from(block) != expected or block[-4:] != struct.pack("<I", MAGIC_END):
            raise Problem(image, f"block {number} is not that of an RP2040 image")
        content += block[HEAD.size : HEAD.size + PAYLOAD_BYTES]
    if rest or not count:
        raise Problem(image, f"is not a UF2 file: {len(raw)} bytes are no whole number of blocks")
    if content[BOOT_BYTES - 4 : BOOT_BYTES] != struct.pack("<I", checksum(content[: BOOT_BYTES - 4])):
        raise Problem(image, "the checksum of its second boot stage is wrong, so the boot ROM would not start it")
    return content


def main(argv: list[str]) -> int:
    """Make a UF2 file of an ELF, or check one."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.uf2", description="Make and check UF2 images.")
    parser.add_argument("elf", nargs="?", type=Path, metavar="ELF", help="the firmware; without it UF2 is checked")
    parser.add_argument("image", type=Path, metavar="UF2", help="the image")
    options = parser.parse_args(argv)
    if options.elf:
        files.write_bytes(options.image, pack(flash_content(options.elf)))
    else:
        sys.stdout.write(f"{options.image}: {len(unpack(options.image))} bytes of flash, checksum valid\n")
    return 0


if __name__ == "__main__":
    run(main)
