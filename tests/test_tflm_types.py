"""The tflm runtime and its generated code against TFLite Micro's real headers, for three processors."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import ROOT
from test_generate import gesture
from tflm_headers import include_flags

from pipeline import tflm
from pipeline.ctext import render
from pipeline.flatbuffer import read
from pipeline.tflm_arena import Arena, Size

RUNTIME = ROOT / "firmware" / "runtimes" / "tflm"
NEWLIB = "/usr/include/newlib"  # Debian's RISC-V compiler has no C++ library of its own: its headers stand in
COMPILERS = {
    "x86-64": ["g++"],
    "arm": ["arm-none-eabi-g++", "-mcpu=cortex-m4", "-mthumb"],
    "riscv32": ["riscv64-unknown-elf-g++", "-march=rv32imc", "-mabi=ilp32", "-nostdinc++",
                f"-isystem{NEWLIB}/c++/12.2.1", f"-isystem{NEWLIB}/c++/12.2.1/arm-none-eabi/thumb/nofp",
                f"-isystem{NEWLIB}"],
}  # fmt: skip
STRICT = ["-std=c++17", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics", "-Wall", "-Wextra", "-Wconversion",
          "-Wshadow", "-Wdouble-promotion", "-Werror"]  # fmt: skip
ARENA = Arena("invented", *[Size(512, 1024, 128, 256, 64)] * 3)


def check(core: str, source: Path, *folders: Path, flags: Sequence[str] = ()) -> None:
    """Compile one file without making anything of it."""
    if shutil.which(COMPILERS[core][0]) is None:
        pytest.fail(f"{COMPILERS[core][0]} is missing: make test installs it")
    own = [f"-I{folder}" for folder in (*folders, RUNTIME, ROOT / "firmware" / "core")]
    argv = [
        *COMPILERS[core],
        *STRICT,
        *own,
        *include_flags(),
        *flags,
        "-DBOARD_ARENA_BYTES=200000",
        "-fsyntax-only",
        str(source),
    ]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def write_sources(content: bytes, name: str, folder: Path) -> None:
    for file, text in tflm.sources(read(content), content, name, ARENA).items():
        (folder / file).write_text(text)


@pytest.mark.parametrize("core", COMPILERS)
@pytest.mark.parametrize("flags", [[], ["-DWITH_LAYERS"]], ids=["plain", "layers"])
def test_the_runtime_and_a_generated_model_fit_tflite_micro(core: str, flags: list[str], tmp_path: Path) -> None:
    write_sources(gesture(), "gesture", tmp_path)
    for source in RUNTIME.glob("*.cc"):
        check(core, source, tmp_path, flags=flags)


@pytest.mark.parametrize("core", COMPILERS)
@pytest.mark.parametrize("name", ["rehab", "bearing"])
def test_the_built_in_models_fit_tflite_micro(
    name: str, core: str, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    write_sources((trained(name) / "model.tflite").read_bytes(), name, tmp_path)
    check(core, RUNTIME / "runtime.cc", tmp_path)


@pytest.mark.parametrize("core", COMPILERS)
def test_every_operator_that_the_generator_names_is_a_method_of_the_resolver(core: str, tmp_path: Path) -> None:
    all_of_them = [
        tflm.registration(op, form)
        for op in sorted(tflm.OPERATORS - tflm.NEWER)
        for form in (("", "INT8", "INT16") if op in tflm.FORMS else ("",))
    ]
    view = {"model": "all", "version": "0", "model_id": "00", "registrations": all_of_them}
    (tmp_path / "resolver.h").write_text(render("resolver.h.j2", view))
    (tmp_path / "all.cc").write_text('#include "resolver.h"\nmodel_resolver_t resolver;\n'
                                     "TfLiteStatus all() { return model_resolve(resolver); }\n")  # fmt: skip
    check(core, tmp_path / "all.cc")


def test_an_operator_that_tflite_micro_lacks_is_a_plain_sentence_from_the_compiler(tmp_path: Path) -> None:
    view = {"model": "m", "version": "0", "model_id": "00", "registrations": [tflm.registration("RFFT2D")]}
    (tmp_path / "resolver.h").write_text(render("resolver.h.j2", view))
    argv = ["g++", "-std=c++17", *include_flags(), "-fsyntax-only", str(tmp_path / "resolver.h")]
    assert "TFLite Micro has no RFFT2D" in subprocess.run(argv, capture_output=True, text=True).stderr


MESSAGES = [
    ('"plain"', "plain"),
    ('"%d and %i", -5, 7', "-5 and 7"),
    ('"%u %x", 4000000000u, 0xBEEFu', "4000000000 beef"),
    ('"%ld %lu %lld", -2147483648L, 7UL, -9000000000LL', "-2147483648 7 -9000000000"),
    ('"%zu of %zu", sizeof(char), (size_t)9', "1 of 9"),
    ('"%s(%c)", "text", 120', "text(x)"),
    ('"%-4d|%4d|%04d", 5, 6, 7', "5|6|7"),  # widths are left out
    ('"%f %2.2f", 1.5, -0.25', "1.500 -0.250"),
    ('"100%%"', "100%"),
    ('"%d%"', "3", "3"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[0])
def test_tflite_micros_messages_become_text_without_printf(message: tuple[str, ...], tmp_path: Path) -> None:
    arguments = message[0] + (", 3" if len(message) == 3 else "")
    assert said(tmp_path, f"say({arguments});") == message[1]


def test_lines_are_joined_and_what_is_too_long_is_cut(tmp_path: Path) -> None:
    line = r'say("\r\n");'
    assert said(tmp_path, f'{line} say("one"); {line} say("two %d", 2); {line}') == "one; two 2"
    assert said(tmp_path, f'for (int i = 0; i < 90; i++) {{ say("word"); }} {line}') == ("word" * 90)[:255]
    assert said(tmp_path, 'say("old"); words_clear();') == "nothing"


def test_a_buffer_is_filled_as_snprintf_fills_it(tmp_path: Path) -> None:
    program = 'char buffer[6]; say("%d ", into(buffer, sizeof buffer, "%s", "longer")); say("%s", buffer);'
    assert said(tmp_path, program) == "6 longe"


def said(folder: Path, statements: str) -> str:
    """What the runtime keeps of messages that a sanitized program on this machine gives it."""
    (folder / "main.cc").write_text(
        '#include <cstdio>\n#include "words.h"\n#include "tensorflow/lite/micro/debug_log.h"\n'
        'extern "C" int DebugVsnprintf(char *, size_t, const char *, va_list);\n'  # which older headers do not have
        "static void say(const char *format, ...)\n"
        "{ va_list list; va_start(list, format); DebugLog(format, list); va_end(list); }\n"
        "[[maybe_unused]] static int into(char *buffer, size_t size, const char *format, ...)\n"
        "{ va_list list; va_start(list, format); int n = DebugVsnprintf(buffer, size, format, list); va_end(list);"
        " return n; }\n"
        f'int main() {{ {statements} puts(words_said("nothing")); }}\n'
    )
    sanitized = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-w"]
    argv = ["g++", "-std=c++17", *sanitized, *include_flags(), f"-I{RUNTIME}", "main.cc", str(RUNTIME / "words.cc")]
    subprocess.run([*argv, "-o", "main"], cwd=folder, check=True)
    return subprocess.run(["./main"], cwd=folder, check=True, capture_output=True, text=True).stdout.rstrip("\n")
