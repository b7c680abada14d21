"""What a firmware takes of its board, read from the ELF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile


@dataclass(frozen=True)
class Size:
    """Bytes. `ram` is all that lies in RAM when the firmware runs: data, activations, and the stack kept for it."""

    flash: int  # the image, or everything in the ELF that has content
    ram: int
    code: int  # what has content, without the model's weights
    weights: int
    arena: int
    stack: int


def measure(elf: Path, image: Path | None, plan: dict[str, Any]) -> Size:
    """Add up the sections that are loaded; where constants lie in RAM (ESP32), the linker script calls them data."""
    content = ram = stack = 0
    with elf.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if not section["sh_flags"] & SH_FLAGS.SHF_ALLOC:
                continue
            size = section["sh_size"]
            content += size if section["sh_type"] != "SHT_NOBITS" else 0
            ram += size if section["sh_flags"] & SH_FLAGS.SHF_WRITE else 0
            stack += size if section.name == ".stack" else 0
    return Size(
        flash=image.stat().st_size if image else content,
        ram=ram,
        code=content - plan["weights_bytes"],
        weights=plan["weights_bytes"],
        arena=plan["arena_bytes"],
        stack=stack,
    )
