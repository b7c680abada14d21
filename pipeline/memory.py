"""Where the arena and the weights lie, when a board's file says so: memories that its port names in memory.h."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.problem import Problem, did_you_mean

HEADER = "memory.h"  # of a port: a macro <WHAT>_IN_<MEMORY> for each that it offers
PLACES = {"arena": "ARENA_PLACE", "weights": "NN_WEIGHTS"}  # what the C sources call them
APART = ".ext_ram.bss"  # the section of what lies in a RAM besides the board's own


@dataclass(frozen=True)
class Memory:
    """A board file's [memory]: names of memories, none for the usual one."""

    arena: str = ""
    weights: str = ""


USUAL = Memory()


def defines(memory: Memory) -> dict[str, str]:
    """Macros of the C sources, by name; none where everything lies as usual."""
    said = {each.name: getattr(memory, each.name) for each in fields(Memory)}
    return {PLACES[what]: f"{what}_in_{where}".upper() for what, where in said.items() if where}


def unknown(memory: Memory, port: Path, where: str) -> list[Problem]:
    """Problems of memories that the port in this folder does not offer."""
    said = [macro.lower().split("_in_") for macro in defines(memory).values()]
    header = port / HEADER
    text = header.read_text(encoding="utf-8") if said and header.is_file() else ""
    offered = [macro.lower().split("_in_") for macro in re.findall(r"^#define (\w+_IN_\w+)", text, re.MULTILINE)]
    problems = []
    for what, name in (each for each in said if each not in offered):
        there = [memory for of, memory in offered if of == what]
        hint = did_you_mean(name, there) if there else f"leave it out: firmware/ports/{port.name} offers no choice"
        problems.append(Problem(where, f"[memory] {what}: port {port.name} has no memory {name}", hint))
    return problems
