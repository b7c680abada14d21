"""Windows that arrive while the model runs: the ring by itself, and chips whose interrupt fills it."""

from __future__ import annotations

import ctypes
import random
import shutil
import struct
import subprocess
from pathlib import Path

import echo
import labwired
import pytest
from echo import HELLO, INFO, RESULT, RUN, frame, parse
from elftools.elf.elffile import ELFFile
from test_baud import monitored

from pipeline import build

WINDOW_BYTES = 300
UART0, NVIC_ENABLED, NVIC_PEND, NVIC_PRIORITY = 20, 0xE000E100, 0xE000E200, 0xE000E414


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The ring for 10 bytes."""
    library = tmp_path_factory.mktemp("ring") / "ring.so"
    source = echo.PROJECT / "firmware" / "ports" / "ring" / "ring.c"
    flags = ["-shared", "-fPIC", "-DRING_BYTES=10", *echo.include_flags()]
    subprocess.run(["gcc", *flags, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def taken(ring: ctypes.CDLL, capacity: int) -> bytes:
    buffer = ctypes.create_string_buffer(64)
    ring.ring_take.restype = ctypes.c_size_t
    count = ring.ring_take(buffer, ctypes.c_size_t(capacity))
    return buffer.raw[:count]


def test_a_ring_gives_back_what_was_put_and_drops_what_does_not_fit(ring: ctypes.CDLL) -> None:
    chance, waiting, number = random.Random(1), [], 0
    for _ in range(3000):
        for _ in range(chance.randrange(14)):
            ring.ring_put(ctypes.c_uint8(number))
            waiting += [number % 256] if len(waiting) < 10 else []
            number += 1
        got = taken(ring, chance.randrange(12))
        assert list(got) == waiting[: len(got)]
        del waiting[: len(got)]
    assert list(taken(ring, 64)) == waiting and taken(ring, 64) == b""


def test_what_interrupts_took_is_not_counted(ring: ctypes.CDLL) -> None:
    """Not even when one comes between the reading of the clock and what was spent until then."""
    now, come = [100], [True]

    @ctypes.CFUNCTYPE(ctypes.c_uint32)
    def clock() -> int:
        read = now[0]
        if come.pop():
            now[0] += 40
            ring.ring_spent(ctypes.c_uint32(40))
        come.append(False)
        return read

    ring.ring_ticks.restype = ctypes.c_uint32
    assert ring.ring_ticks(clock) == 100
    now[0] += 7
    assert ring.ring_ticks(clock) == 107


def credits(tmp_path: Path, bytes_: int, buffer: str) -> int:
    (tmp_path / "main.c").write_text(f'#include "ring.h"\nint main(void) {{ return credits_of({buffer}); }}\n')
    flags = [f"-DMODEL_INPUT_BYTES={bytes_}", "-DMODEL_OUTPUT_BYTES=8", *echo.include_flags()]
    flags += [f"-I{echo.PROJECT / 'firmware' / 'ports' / 'ring'}", "-o", str(tmp_path / "main")]
    subprocess.run(["gcc", *flags, str(tmp_path / "main.c")], check=True)
    return subprocess.run([tmp_path / "main"]).returncode


@pytest.mark.parametrize(("window", "expected"), [(24, 4), (768, 4), (1000, 4), (1020, 2), (4000, 2), (4096, 1)])
def test_credits_are_the_whole_frames_that_the_ring_holds(tmp_path: Path, window: int, expected: int) -> None:
    assert credits(tmp_path, window, "RING_BYTES") == expected
    longest = len(frame(RUN, 1, bytes([1]) * window)) + 1  # and the 0x00 before one that is sent again
    assert [credits(tmp_path, window, str(longest * 3 + more)) for more in (-1, 0)] == [2, 3]


def counting(tmp_path: Path, board: str) -> Path:
    """An ELF whose inference is a loop of as many turns as the window's first four bytes say."""
    folder = echo.make_project(tmp_path, board)
    shutil.copytree(echo.FIXTURES / "counting_runtime", tmp_path / "firmware" / "runtimes" / "counting")
    folder = folder.rename(folder.with_name(f"{board}-counting"))
    header = (folder / "model.h").read_text()
    (folder / "model.h").write_text(header.replace("INPUT_BYTES 24", f"INPUT_BYTES {WINDOW_BYTES}"))
    path = tmp_path / "boards" / f"{board}.toml"
    path.write_text(path.read_text().replace('"-mthumb"]', '"-mthumb", "-DBOARD_RECEIVE_INTERRUPT"]'))
    assert build.main(["echo", "--board", board, "--runtime", "counting"]) == 0
    return folder / "firmware.elf"


def window(turns: int) -> bytes:
    return struct.pack("<I", turns) + bytes(range(1, 256)) + bytes(WINDOW_BYTES - 259)


def words_of_ring(elf: Path) -> dict[str, int]:
    """Addresses of the ring's figures: they are its last words."""
    with elf.open("rb") as file:
        ring = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name("ring")[0]
    end = int(ring["st_value"] + ring["st_size"])
    return {name: end - 12 + 4 * at for at, name in enumerate(("first", "end", "spent"))}


def ticks(answer: tuple[int, int, bytes]) -> int:
    assert answer[0] == RESULT
    return int(struct.unpack_from("<I", answer[2])[0])


def test_windows_arrive_while_the_model_runs_on_an_emulated_cortex_m4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the UART's own interrupt in QEMU; what it takes is not in the ticks."""
    echo.need("arm-none-eabi-gcc", "qemu-system-arm")
    monkeypatch.chdir(tmp_path)
    elf, turns = counting(tmp_path, "cortex-m4"), 30_000_000
    at = words_of_ring(elf)
    with monitored("cortex-m4", elf.parent) as (path, look):
        line = echo.Line(path)
        info = line.ask(frame(HELLO, 9, b"\1"))
        assert (info[0], info[2][3]) == (INFO, 4)
        alone = ticks(line.ask(frame(RUN, 1, window(turns))))
        spent = look(at["spent"])
        line.port.write(b"".join(frame(RUN, seq, window(turns + seq % 2)) for seq in (2, 3, 4, 5)))
        first = line.answer()
        behind = look(at["end"]) - look(at["first"])  # of the ring, which holds four frames
        answers = [first, *(line.answer() for _ in range(3))]
        assert [answer[1] for answer in answers] == [2, 3, 4, 5]
        assert behind % (4 * len(frame(RUN, 1, window(1))) + 5) > len(frame(RUN, 1, window(1)))
        interrupts = look(at["spent"]) - spent
        assert interrupts > 3 * WINDOW_BYTES * 40  # at least an interrupt for each byte
        assert all(abs(ticks(answer) - alone) < alone / 1000 for answer in answers), (alone, answers)
        line.port.close()


def test_windows_arrive_while_the_model_runs_on_a_pico(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """labwired's UART calls for no interrupt; so one is made pending when the FIFO is half full, as the chip does."""
    echo.need("arm-none-eabi-gcc")
    monkeypatch.chdir(tmp_path)
    elf = counting(tmp_path, "pico")
    at = words_of_ring(elf)
    with labwired.Sim(elf, chip="rp2040") as chip:

        def feed(raw: bytes, interrupts: bool) -> None:
            for start in range(0, len(raw), 16):
                chip.send_bytes(raw[start : start + 16])
                if interrupts:
                    chip.write_u32(NVIC_PEND, 1 << UART0)
                chip.run_for("20us")

        def answers() -> list[tuple[int, int, bytes]]:
            chip.run_for("200ms")
            return [parse(raw) for raw in chip.read_uart_bytes().split(b"\0")[:-1]]

        chip.run_for("3ms")
        assert (chip.read_u32(NVIC_ENABLED), chip.read_u32(NVIC_PRIORITY) & 0xFF) == (1 << UART0, 0xC0)
        feed(frame(HELLO, 9, b"\1") + frame(RUN, 1, window(1_000_000)), interrupts=False)
        info, alone = answers()
        assert (info[0], info[2][3], chip.read_u32(at["spent"])) == (INFO, 4, 0)
        feed(frame(RUN, 2, window(1_000_000)), interrupts=False)
        feed(frame(RUN, 3, window(5)) + frame(RUN, 4, window(5)), interrupts=True)
        assert chip.read_u32(at["end"]) != chip.read_u32(at["first"])  # received, and the model still runs
        busy = answers()
        assert [answer[1] for answer in busy] == [2, 3, 4]
        assert chip.read_u32(at["spent"]) > 30 * 40
        assert abs(ticks(busy[0]) - ticks(alone)) < ticks(alone) / 1000
