"""Building firmware: what lands in the folder, what size.json says, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import echo
import pytest
from elftools.elf.elffile import ELFFile

from pipeline import build, flash
from pipeline.problem import EXIT_DEVICE, EXIT_TOOL, EXIT_USER, Problem, Problems

BOARDS = ("host", "cortex-m4", "esp32", "esp32c3", "esp32s3", "pico")


def project(folder: Path, board: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An echo project as working directory; gives the firmware's folder."""
    built = echo.make_project(folder, board)
    monkeypatch.chdir(folder)
    return built


def make(board: str, *more: str) -> int:
    return build.main(["echo", "--board", board, "--runtime", "echo", *more])


def refused(board: str, *more: str) -> Problem | Problems:
    with pytest.raises((Problem, Problems)) as caught:
        make(board, *more)
    return caught.value


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("board", "made"),
    [
        ("host", {"firmware.elf"}),
        ("cortex-m4", {"firmware.elf", "firmware.bin"}),
        ("esp32", {"firmware.elf", "firmware.img", "emulator.elf"}),
        ("esp32c3", {"firmware.elf", "firmware.img", "emulator.elf"}),
        ("esp32c3-labwired", {"firmware.elf", "firmware.img"}),
        ("pico", {"firmware.elf", "firmware.uf2", "emulator.elf"}),
    ],
)
def test_a_build_makes(board: str, made: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path, board, monkeypatch)
    assert make(board) == 0
    assert made | {"size.json", "objects"} == {path.name for path in folder.iterdir()} - {"model.h", "plan.json"}


def test_size_json_agrees_with_the_elf_and_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path, "esp32", monkeypatch)
    (folder / "plan.json").write_text(json.dumps({"arena_bytes": 64, "weights_bytes": 100}))
    make("esp32")
    size = json.loads((folder / "size.json").read_text())
    with (folder / "firmware.elf").open("rb") as file:
        sections = {section.name: section["sh_size"] for section in ELFFile(file).iter_sections()}
    assert size["flash"] == (folder / "firmware.img").stat().st_size
    assert size["ram"] == sections[".data"] + sections[".bss"] + sections[".stack"]
    assert size["code"] == sections[".text"] + sections[".data"] - 100
    assert (size["weights"], size["arena"], size["stack"]) == (100, 64, 4096)
    assert size["limits"] == {"flash": 4194304, "ram": 196608}
    assert (size["board"], size["runtime"], size["image"], size["elf"]) == (
        "esp32",
        "echo",
        "firmware.img",
        "firmware.elf",
    )
    assert size["compiler"].split()[0].startswith("xtensa-")


def test_the_line_on_stdout_says_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path, "cortex-m4", monkeypatch)
    make("cortex-m4")
    said = capsys.readouterr()
    assert said.out.startswith("firmware.bin: flash ")
    assert "of 1048576, ram " in said.out and "arm-none-eabi-gcc" in said.out
    assert "compile echo for cortex-m4" in said.err
    make("cortex-m4", "--json")
    assert json.loads(capsys.readouterr().out)["board"] == "cortex-m4"


@pytest.mark.parametrize("board", BOARDS)
def test_the_same_sources_give_the_same_bytes_anywhere(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for place in ("here", "a/longer/place"):
        folder = project(tmp_path / place, board, monkeypatch)
        make(board)
        made.append({path.name: path.read_bytes() for path in folder.glob("*.*") if path.suffix != ".json"})
    assert made[0] == made[1]


def test_a_change_of_the_generated_code_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path, "host", monkeypatch)
    make("host")
    before = (folder / "firmware.elf").read_bytes()
    change(folder / "model.h", "MODEL_INPUT_BYTES 24", "MODEL_INPUT_BYTES 28")
    make("host")
    assert (folder / "firmware.elf").read_bytes() != before


def test_kernels_of_the_core_come_before_the_portable_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "cortex-m4", monkeypatch)
    (tmp_path / "firmware" / "kernels" / "cortex-m4").mkdir(exist_ok=True)
    flags = build.compile_flags(build.firmware("echo", "cortex-m4", "echo"))
    assert flags.index("-Ifirmware/kernels/cortex-m4") < flags.index("-Ifirmware/kernels")


def test_an_unknown_model_board_or_runtime_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "host", monkeypatch)
    for argv, what, hint in (
        (["ecko", "--board", "host"], "models: there is no model ecko", "did you mean echo?"),
        (["echo", "--board", "hos"], "boards: there is no board hos", "did you mean host?"),
        (
            ["echo", "--board", "host", "--runtime", "eco"],
            "firmware/runtimes: there is no runtime eco",
            "did you mean echo?",
        ),
    ):
        with pytest.raises(Problem) as caught:
            build.main(argv)
        assert (str(caught.value), caught.value.hint, caught.value.code) == (what, hint, EXIT_USER)


def test_code_that_was_not_generated_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project(tmp_path, "host", monkeypatch) / "plan.json").unlink()
    problem = refused("host")
    assert isinstance(problem, Problem)
    assert problem.hint == "run: python -m pipeline.generate echo --board host --runtime echo"


def test_code_of_an_older_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path, "host", monkeypatch)
    (folder / "plan.json").write_text(
        json.dumps({"arena_bytes": 1, "weights_bytes": 0, "model_id": "91bc77d000000000"})
    )
    (tmp_path / "build" / "echo" / "model.tflite").write_bytes(b"new")
    problem = refused("host")
    assert isinstance(problem, Problem)
    assert problem.what.startswith("is the code of model 91bc77d000000000, ")
    assert problem.what.endswith("model.tflite is 11507a0e2f5e69d5")
    assert problem.hint == "run: python -m pipeline.generate echo --board host --runtime echo"


def test_a_missing_compiler_names_the_debian_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "esp32", monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = refused("esp32")
    assert isinstance(problem, Problem)
    assert str(problem) == "board esp32: xtensa-esp32-elf-gcc or xtensa-lx106-elf-gcc is not installed"
    assert (problem.hint, problem.code) == ("apt install gcc-xtensa-lx106 picolibc-xtensa-lx106-elf", EXIT_TOOL)


def test_the_first_compiler_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "esp32", monkeypatch)
    better = tmp_path / "bin" / "xtensa-esp32-elf-gcc"
    better.parent.mkdir()
    without = 'for word; do shift; [ "$word" = -mabi=call0 ] || set -- "$@" "$word"; done'
    better.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{without}\nexec xtensa-lx106-elf-gcc "$@"\n')
    better.chmod(0o755)
    monkeypatch.setenv("PATH", f"{better.parent}:{build.os.environ['PATH']}")
    assert make("esp32") == 0
    assert "-mabi=call0" in (tmp_path / "calls").read_text()


def test_errors_of_the_compiler_are_shown_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path, "host", monkeypatch)
    (folder / "a.c").write_text("int a(void) { return b; }\n")
    (folder / "c.c").write_text('_Static_assert(0, "the arena does not fit this board");\n')
    problems = refused("host")
    assert [line for line in problems.lines()] == [
        "error: build/echo/host-echo/a.c: does not compile with gcc",
        "error: build/echo/host-echo/c.c: does not compile with gcc",
    ]
    said = capfd.readouterr().err
    assert "'b' undeclared" in said and "the arena does not fit this board" in said


def test_errors_of_the_linker_are_shown_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path, "host", monkeypatch)
    (folder / "a.c").write_text("int main(void) { return 0; }\n")
    assert str(refused("host")) == "build/echo/host-echo/firmware.elf: does not link with gcc"
    assert "multiple definition of `main'" in capfd.readouterr().err


def test_an_arena_that_is_too_large_is_refused_before_compiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path, "host", monkeypatch)
    (folder / "plan.json").write_text(json.dumps({"arena_bytes": 150_000, "weights_bytes": 0}))
    problem = refused("host")
    assert isinstance(problem, Problem)
    assert str(problem) == "model echo: needs 150000 bytes of arena, board host has 131072"
    assert problem.hint.startswith("a smaller window, fewer or smaller layers, or another board: cortex-m33, ")
    assert "esp32" not in problem.hint  # it has as little
    assert not (folder / "objects").exists()


@pytest.mark.parametrize(
    ("board", "code", "what"),
    [
        (
            "cortex-m4",
            "const char a[2000000] = {1}; int main(int n) { return a[n]; }",
            "bytes of FLASH, board cortex-m4 has 1048576",
        ),
        ("cortex-m4", "char a[300000]; int main(int n) { return a[n]++; }", "bytes of RAM, board cortex-m4 has 262144"),
        (
            "esp32",
            "const char a[200000] = {1}; int main(int n) { return a[n]; }",
            "bytes of DRAM, board esp32 has 196608",
        ),
        (
            "esp32",
            'int main(void) { __asm__ volatile(".space 140000"); return 0; }',
            "bytes of IRAM, board esp32 has 130048",
        ),
        ("host", "char a[300000]; int main(int n) { return a[n]++; }", "bytes of RAM, board host has 262144"),
        (
            "host",
            "const char a[2000000] = {1}; int main(int n) { return a[n]; }",
            "bytes of flash, board host has 1048576",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(
    board: str, code: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, board, monkeypatch)
    (tmp_path / "firmware" / "core" / "main.c").write_text(code.replace("int n", "int n, char **unused"))
    problem = refused(board)
    assert problem.code == EXIT_USER
    assert isinstance(problem, Problem)
    assert problem.what.endswith(what)
    assert int(problem.what.split()[1]) > int(what.split()[-1])
    assert problem.hint.startswith("a smaller window, fewer or smaller layers")


def test_an_image_that_esptool_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "esp32", monkeypatch)
    change(tmp_path / "boards" / "esp32.toml", '"--flash-freq", "40m"', '"--flash-freq", "41m"')
    problem = refused("esp32")
    assert str(problem).startswith("esptool: failed with code 2:\n    ")
    assert "41m" in str(problem)


def test_a_command_that_makes_no_image_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "host", monkeypatch)
    change(tmp_path / "boards" / "host.toml", "[serial]", '[image]\nfile = "x.img"\nmake = ["true"]\n\n[serial]')
    assert refused("host").lines() == [
        "error: boards/host.toml: true made no x.img",
        "  hint: [image] make must write {image}",
    ]


def test_a_missing_compiler_that_no_package_brings_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "host", monkeypatch)
    text = (tmp_path / "boards" / "host.toml").read_text()
    compilers = text[text.index("[[build") : text.index("[serial]")]
    change(tmp_path / "boards" / "host.toml", compilers, '[[build.compilers]]\ncommand = "nocc"\n\n')
    assert refused("host").lines() == ["error: board host: nocc is not installed", "  hint: put it on PATH"]


@pytest.mark.parametrize("plan", ["[]", "{}", '{"arena_bytes": 64}'])
def test_a_plan_of_another_version_is_refused(plan: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project(tmp_path, "host", monkeypatch) / "plan.json").write_text(plan)
    problem = refused("host")
    assert re.search(r"plan.json: (holds no JSON object but \[\]|lacks .*weights_bytes)", str(problem))
    assert "python -m pipeline.generate echo --board host --runtime echo" in "\n".join(problem.lines())


def test_a_missing_image_tool_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "cortex-m4", monkeypatch)
    change(tmp_path / "boards" / "cortex-m4.toml", "arm-none-eabi-objcopy", "no-such-objcopy")
    assert (str(refused("cortex-m4")), refused("cortex-m4").code) == ("no-such-objcopy: is not installed", EXIT_TOOL)


def test_a_missing_python_tool_is_said_with_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "esp32", monkeypatch)
    change(tmp_path / "boards" / "esp32.toml", '"esptool", "--chip", "esp32", "elf2image"', '"esptoool", "elf2image"')
    problem = refused("esp32")
    assert isinstance(problem, Problem)
    assert (str(problem), problem.hint, problem.code) == (
        "esptoool: is not installed",
        "pip install esptoool",
        EXIT_TOOL,
    )


def flash_refused(*argv: str) -> Problem:
    with pytest.raises(Problem) as caught:
        flash.main([*argv, "--runtime", "echo"])
    return caught.value


def test_boards_that_cannot_be_flashed_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "host", monkeypatch)
    problem = flash_refused("echo", "--board", "cortex-m4", "--port", "/dev/null")
    assert str(problem) == "board cortex-m4: cannot be flashed: it is an emulator"
    assert problem.hint == "make hil board=cortex-m4"


def test_flashing_before_building_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "esp32", monkeypatch)
    assert flash_refused("echo", "--board", "esp32").hint == "run: make model name=echo board=esp32 runtime=echo"


def test_flashing_needs_a_port_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project(tmp_path, "esp32", monkeypatch) / "firmware.img").touch()
    assert str(flash_refused("echo", "--board", "esp32")) == "--port: is needed to flash a board"
    problem = flash_refused("echo", "--board", "esp32", "--port", "/dev/ttyNO")
    assert (str(problem), problem.code) == ("/dev/ttyNO: there is no such port", EXIT_DEVICE)


def test_flashing_runs_the_boards_upload_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path, "esp32", monkeypatch)
    (folder / "firmware.img").write_bytes(b"image")
    path = tmp_path / "boards" / "esp32.toml"
    text = path.read_text()
    start, end = text.index("[upload]"), text.index("# Opening the port")
    path.write_text(text[:start] + '[upload]\ncommand = ["cp", "{image}", "{port}"]\n\n' + text[end:])
    (tmp_path / "chip").touch()
    assert flash.main(["echo", "--board", "esp32", "--runtime", "echo", "--port", str(tmp_path / "chip")]) == 0
    assert (tmp_path / "chip").read_bytes() == b"image"
    assert capfd.readouterr().out == f"{tmp_path / 'chip'} runs build/echo/esp32-echo/firmware.img\n"


def test_an_esptool_that_finds_no_chip_fails_the_flashing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path, "esp32", monkeypatch)
    (folder / "firmware.img").write_bytes(b"image")
    problem = flash_refused("echo", "--board", "esp32", "--port", "/dev/null")
    assert str(problem) == "esptool: failed with code 2"
    assert problem.code == EXIT_DEVICE
    assert "/dev/null" in capfd.readouterr().err


def test_the_stage_runs_from_the_shell_and_exits_with_the_problems_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, "host", monkeypatch)
    shutil.copytree(echo.PROJECT / "pipeline", tmp_path / "pipeline")
    argv = [build.sys.executable, "-m", "pipeline.build", "echo", "--board", "hots"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (EXIT_USER, "")
    assert done.stderr == "error: boards: there is no board hots\n  hint: did you mean host?\n"
