"""The rules of ARCHITECTURE.md, enforced: who imports whom, what C may contain, how long a function may be."""

from __future__ import annotations

import ast
import itertools
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in (ROOT / "pipeline").rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): path for name, path in MODULES.items()}
KERNELS = sorted((ROOT / "firmware" / "kernels").glob("**/nn*.h"))
FIRMWARE = sorted(path for kind in ("*.[ch]", "*.cc") for path in (ROOT / "firmware").rglob(kind))

TENSORFLOW = {"tensorflow", "tf_keras", "tensorflow_model_optimization"}
COMPILER = {"arena", "buffers", "edges", "evaluate", "fixedpoint", "flatbuffer", "generate", "graph", "importer",
            "plan", "cores", "costs", "ctext", "tflm", "tflm_arena"}  # fmt: skip
LINK = {"wire", "transport", "device", "flight", "noise", "ports", "child", "hil"}

COMPILERS = {  # command -> flags and Debian package
    "gcc": (["-m64"], "gcc"),
    "arm-none-eabi-gcc": (["-mcpu=cortex-m4", "-mthumb"], "gcc-arm-none-eabi"),
    "riscv64-unknown-elf-gcc": (["-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"], "gcc-riscv64-unknown-elf"),
    "xtensa-lx106-elf-gcc": (["-ffreestanding", "-mtext-section-literals"], "gcc-xtensa-lx106"),
    "avr-gcc": (["-mmcu=atmega2560"], "gcc-avr"),
}
# Folders of kernels whose instructions one compiler knows:
ONLY = {"avr": "avr-gcc", "cortex-m4": "arm-none-eabi-gcc", "cortex-m55": "arm-none-eabi-gcc"}
OWN = {"cortex-m55": ["-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=softfp"]}  # and by flags of their own
STRICT = ["-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wdouble-promotion", "-Werror"]


# Python


@cache
def imports(name: str) -> frozenset[str]:
    """Modules that a module's own text names in import statements, at any depth of indentation."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def reaches(name: str, seen: set[str] | None = None) -> set[str]:
    """All modules of the project that a module leads to, itself included."""
    seen = set() if seen is None else seen
    if name not in seen:
        seen.add(name)
        for target in imports(name) & MODULES.keys():
            reaches(target, seen)
    return seen


def test_only_the_first_stages_import_tensorflow() -> None:
    users = {name for name in MODULES if any(each.split(".")[0] in TENSORFLOW for each in imports(name))}
    assert users <= {f"pipeline.{name}" for name in ("network", "prune", "quantize", "recurrent")}
    led = {name for name in MODULES if reaches(name) & users}
    assert led == {f"pipeline.{name}" for name in ("network", "folds", "train", "prune", "quantize", "recurrent")}


@pytest.mark.parametrize("name", sorted(COMPILER))
def test_the_compiler_knows_no_boards_and_no_serial_line(name: str) -> None:
    known = {each.removeprefix("pipeline.") for each in reaches(f"pipeline.{name}")}
    assert not known & {"board", "build", "flash", "emulator", "hil", *LINK}
    assert not any(each.split(".")[0] == "serial" for each in imports(f"pipeline.{name}"))


@pytest.mark.parametrize("name", sorted(LINK))
def test_the_link_knows_no_graphs(name: str) -> None:
    known = {each.removeprefix("pipeline.") for each in reaches(f"pipeline.{name}")}
    assert not known & {"graph", "plan", "importer", "flatbuffer", "generate"}
    assert not any(each.startswith("ops") for each in known)


def test_no_module_imports_itself_in_a_circle() -> None:
    for name in MODULES:
        for target in imports(name) & MODULES.keys() - {name}:
            if target != "pipeline":
                assert name not in reaches(target), f"{name} and {target} import each other"


def test_c_lives_in_c_files() -> None:
    for name, path in MODULES.items():
        assert not re.search(r"#\s*include|int8_t \*|void \w+\(", path.read_text()), f"{name} holds C"


def functions() -> Iterator[tuple[str, int]]:
    """Every function of the package and its length in lines."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                yield f"{name}.{node.name}", node.end_lineno - node.lineno + 1


def test_functions_are_short() -> None:
    lengths = dict(functions())
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 25
    assert not {name: length for name, length in lengths.items() if length > 60}


def test_files_are_short() -> None:
    assert not {n: length for n, p in MODULES.items() if (length := len(p.read_text().splitlines())) > 300}


def test_every_public_thing_says_what_it_is() -> None:
    silent = []
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text())
        public = (ast.FunctionDef, ast.ClassDef)
        silent += [name] if not ast.get_docstring(tree) else []
        silent += [
            f"{name}.{node.name}"
            for node in tree.body
            if isinstance(node, public) and not node.name.startswith("_") and not ast.get_docstring(node)
        ]
    assert not silent


def messages() -> Iterator[tuple[str, list[str]]]:
    """Where a Problem is made, or a ValueError that becomes one, and the constant pieces of what it says."""
    for name, path in MODULES.items():
        for scope in ast.walk(ast.parse(path.read_text())):
            if not isinstance(scope, ast.FunctionDef | ast.Module):
                continue
            assigned = {
                target.id: node.value
                for node in ast.walk(scope)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(scope):
                place = {"Problem": 1, "ValueError": 0}.get(getattr(getattr(node, "func", None), "id", ""))
                if isinstance(node, ast.Call) and place is not None and len(node.args) > place:
                    what = node.args[place]
                    what = assigned.get(what.id, what) if isinstance(what, ast.Name) else what
                    pieces = [
                        c.value for c in ast.walk(what) if isinstance(c, ast.Constant) and isinstance(c.value, str)
                    ]
                    if any(len(word) > 3 for piece in pieces for word in piece.split()):
                        yield f"{name}:{node.lineno}", pieces


def test_every_error_message_has_a_test() -> None:
    tests = " ".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    tests = re.sub(r'"\s+f?r?"', "", tests).replace("\\", "")
    untested = {where: pieces for where, pieces in messages() if not any(quoted(piece, tests) for piece in pieces)}
    assert not untested, "\n".join(f"{where}: {''.join(pieces)}" for where, pieces in sorted(untested.items()))


def quoted(piece: str, text: str) -> bool:
    """True when the piece stands in the text, or some neighbouring words of it that are 7 letters or more."""
    words = re.sub(r"[():;,]", " ", piece).split()
    parts = [" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    return any(
        part in text for part in parts if (len(part) >= 7 and " " in part) or (len(words) == 1 and len(part) > 3)
    )


def test_nothing_names_this_machine_or_a_registry() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(rb"(?<![\w.])/(?:home|root|work)/|://[\w.-]*(?:pypi|pythonhosted|npmjs|debian)\.")
    named = [name for name in files if (ROOT / name).is_file() and pattern.search((ROOT / name).read_bytes())]
    assert [name for name in named if name != "tests/test_rules.py"] == []


# C


def compiler(command: str) -> tuple[str, list[str]]:
    flags, package = COMPILERS[command]
    if shutil.which(command) is None:
        pytest.fail(f"{command} is missing: apt-get install {package}")
    return command, flags


@pytest.mark.parametrize("command", COMPILERS)
def test_every_kernel_is_clean_and_stands_alone(command: str, tmp_path: Path) -> None:
    command, flags = compiler(command)
    standard = ["-std=gnu11"] if command == "avr-gcc" else ["-std=c11"]  # __flash is a GNU C word
    for kernel in KERNELS:
        if ONLY.get(kernel.parent.name, command) != command:
            continue  # instructions of another core
        source = tmp_path / "one.c"
        source.write_text(f'#include "{kernel.name}"\n')
        argv = [
            command,
            *standard,
            *OWN.get(kernel.parent.name, flags),
            *STRICT,
            "-Wno-unused-function",
            f"-I{kernel.parent}",
            f"-I{ROOT / 'firmware' / 'kernels'}",
            "-fsyntax-only",
            str(source),
        ]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMPILERS)
def test_all_kernels_of_a_core_fit_into_one_model(command: str, tmp_path: Path) -> None:
    """No two of them give one name to two things; the core's own parts come first, as pipeline/build.py has them."""
    command, flags = compiler(command)
    standard = ["-std=gnu11"] if command == "avr-gcc" else ["-std=c11"]
    portable = ROOT / "firmware" / "kernels"
    for folder in (portable, *(path for path in portable.iterdir() if path.is_dir())):
        if ONLY.get(folder.name, command) != command:
            continue
        own = {} if folder == portable else {path.name: path for path in folder.glob("nn*.h")}
        parts = [str(path) for name, path in sorted(own.items()) if not name.endswith("_s8.h")]
        names = sorted({path.name for path in portable.glob("nn*.h")} | own.keys())
        source = tmp_path / "all.c"
        source.write_text("".join(f'#include "{name}"\n' for name in names))
        included = [word for part in parts for word in ("-include", part)]
        own_flags = OWN.get(folder.name, flags)
        argv = [command, *standard, *own_flags, *STRICT, "-Wno-unused-function", f"-I{folder}", f"-I{portable}",
                *included, "-fsyntax-only", str(source)]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMPILERS)
def test_core_and_runtime_are_clean(command: str, tmp_path: Path) -> None:
    command, flags = compiler(command)
    standard = ["-std=gnu11"] if command == "avr-gcc" else ["-std=c11"]
    core, runtime = (ROOT / "firmware" / "core").glob("*.c"), (ROOT / "firmware" / "runtimes" / "compiled").glob("*.c")
    for source, features in itertools.product([*core, *runtime], [[], ["-DWITH_LAYERS", "-DWITH_MLPERF"]]):
        folders = [ROOT / "firmware" / "core", ROOT / "firmware" / "kernels", ROOT / "tests" / "golden"]
        argv = [
            command,
            *standard,
            *flags,
            *STRICT,
            *features,
            *(f"-I{folder}" for folder in folders),
            '-DBOARD_NAME="b"',
            "-DBOARD_ARENA_BYTES=1024",
            '-DKERNEL_BUILD="k"',
            "-c",
            str(source),
            "-o",
            str(tmp_path / "o"),
        ]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def model_object(command: str, folder: Path) -> str:
    """nm's list of the golden model and its weights, compiled for a core."""
    command, flags = compiler(command)
    standard = ["-std=gnu11"] if command == "avr-gcc" else ["-std=c11"]
    for file in (ROOT / "tests" / "golden").glob("*"):
        shutil.copy(file, folder)
    weights = "\n".join(
        line.replace("extern ", "").rstrip(";") + " = {0};"
        for line in (folder / "weights.h").read_text().splitlines()
        if line.startswith("extern")
    )
    (folder / "weights.c").write_text(f'#include "weights.h"\n{weights}\n')
    listing = ""
    for name in ("model", "weights"):
        argv = [
            command,
            *standard,
            *flags,
            "-O2",
            "-DBOARD_ARENA_BYTES=4096",
            f"-I{ROOT / 'firmware' / 'kernels'}",
            "-c",
            str(folder / f"{name}.c"),
            "-o",
            str(folder / f"{name}.o"),
        ]
        subprocess.run(argv, check=True)
        nm = command.removesuffix("gcc") + "nm" if command != "gcc" else "nm"
        listing += subprocess.run([nm, str(folder / f"{name}.o")], capture_output=True, text=True, check=True).stdout
    return listing


FORBIDDEN = re.compile(
    r"\b(malloc|calloc|realloc|free|printf|puts|abort|__aeabi_[fd]\w+|__(add|sub|mul|div|neg|eq|ne|lt|le|gt|ge)[sd]f[23]|"
    r"__(fix|fixuns|float|floatun|extend|trunc)\w*[sd]f\w*)\b"
)


@pytest.mark.parametrize("command", COMPILERS)
def test_generated_code_and_kernels_use_no_heap_no_float_and_no_globals(command: str, tmp_path: Path) -> None:
    listing = model_object(command, tmp_path)
    assert "gesture_run" in listing
    assert not FORBIDDEN.findall(listing)
    assert not re.findall(r"^[0-9a-f]+ [dDbBcC] .*$", listing, re.MULTILINE), "data that is not constant"


def test_the_ban_list_would_find_what_it_bans(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text(
        "#include <stdlib.h>\nint counter;\nfloat f(float a, float b) { counter++; return a * b; }\n"
        "void *g(void) { return malloc(4); }\n"
    )
    subprocess.run(["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-c", "bad.c"], cwd=tmp_path, check=True)
    listing = subprocess.run(["arm-none-eabi-nm", "bad.o"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert FORBIDDEN.search("U malloc")
    assert {found[0] for found in FORBIDDEN.findall(listing)} == {"malloc", "__aeabi_fmul"}
    assert re.findall(r"^[0-9a-f]+ [dDbBcC] .*$", listing, re.MULTILINE)


def test_core_and_kernels_name_no_float() -> None:
    for path in [*KERNELS, *(ROOT / "firmware" / "core").glob("*.[ch]")]:
        code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(float|double)\b", code), f"{path.name} uses floating point"


def test_a_kernel_is_named_as_its_file() -> None:
    for kernel in KERNELS:
        if kernel.stem.endswith("_s8"):
            assert re.search(rf"^static void {kernel.stem}\(", kernel.read_text(), re.MULTILINE), kernel.name


# Style


@pytest.mark.parametrize(
    "argv",
    [
        ["-m", "ruff", "check", "pipeline", "models", "tests", "benchmarks"],
        ["-m", "ruff", "format", "--check", "pipeline", "models", "tests", "benchmarks"],
        ["-m", "mypy"],
    ],
    ids=["ruff", "format", "mypy"],
)
def test_python_style(argv: list[str]) -> None:
    done = subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_c_style() -> None:
    tool = str(Path(sys.executable).with_name("clang-format"))
    sources = [str(path) for path in (*FIRMWARE, *(ROOT / "tests" / "fixtures").rglob("*.[ch]"))]
    done = subprocess.run([tool, "--dry-run", "--Werror", *sources], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
