"""Starting emulators, and what is said when that fails."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from echo import PROJECT, make_project, need

from pipeline import build
from pipeline.board import Board, load_board
from pipeline.emulator import command, emulate, firmware_elf
from pipeline.problem import EXIT_DEVICE, EXIT_TOOL, EXIT_USER, Problem


def board(*words: str, port: str = "host") -> Board:
    """The host board with another emulator."""
    host = load_board("host")
    assert host.emulator
    return dataclasses.replace(host, emulator=dataclasses.replace(host.emulator, name="fake", command=words, port=port))


def python(code: str) -> Board:
    return board(sys.executable, "-c", code, "{elf}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "firmware.elf").touch()
    return tmp_path


def fails(which: Board, folder: Path) -> Problem:
    with pytest.raises(Problem) as caught, emulate(which, folder):
        pass
    return caught.value


def test_qemus_own_line_names_the_pty(folder: Path) -> None:
    said = "print('char device redirected to /dev/pts/77 (label serial0)', flush=True); input()"
    with emulate(python(said), folder) as path:
        assert path == "/dev/pts/77"


def test_the_process_is_gone_afterwards_even_when_the_block_fails(folder: Path) -> None:
    pid = f"import os, time; open({str(folder / 'pid')!r}, 'w').write(str(os.getpid()))"
    with (
        pytest.raises(KeyError),
        emulate(python(pid + "; print('pty: /dev/pts/1', flush=True); time.sleep(99)"), folder),
    ):
        raise KeyError
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


def test_ctrl_c_does_not_reach_the_emulator(folder: Path) -> None:
    with emulate(python("import os; print(f'pty: /dev/{os.getpgid(0)}', flush=True); input()"), folder) as path:
        assert path != f"/dev/{os.getpgid(0)}"


def test_the_emulator_does_not_outlive_a_killed_harness(folder: Path) -> None:
    need("setpriv")
    code = (
        "import time\nfrom pathlib import Path\n"
        "from test_emulator import python\nfrom pipeline.emulator import emulate\n"
        "child = python('import os, time; print(f\"pty: /dev/{os.getpid()}\", flush=True); time.sleep(99)')\n"
        f"with emulate(child, Path({str(folder)!r})) as path:\n    print(path, flush=True)\n    time.sleep(99)\n"
    )
    search = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}
    harness = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=search)
    assert harness.stdout
    emulator = int(harness.stdout.readline().removeprefix("/dev/"))
    harness.kill()
    harness.wait()
    deadline = time.monotonic() + 60
    while runs(emulator) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(emulator)


def runs(process: int) -> bool:
    """Whether a process is there and is not just waiting to be reaped."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def test_it_runs_the_emulators_own_elf_where_the_port_is_another(folder: Path) -> None:
    (folder / "emulator.elf").touch()
    assert firmware_elf(board("x"), folder).name == "firmware.elf"
    assert firmware_elf(board("x", port="mps2"), folder).name == "emulator.elf"


def test_the_elf_is_filled_in() -> None:
    assert command(board("{elf}", "-x", "{elf}"), Path("/a/b.elf")) == ["/a/b.elf", "-x", "/a/b.elf"]
    assert command(board("{elf}", "file={elf},raw", "${elf} {x}"), Path("/a"))[1:] == ["file=/a,raw", "${elf} {x}"]


def test_a_missing_emulator_that_no_package_brings_says_where_its_name_stands(folder: Path) -> None:
    host = board("qemu-nothing", "{elf}")
    assert host.emulator
    problem = fails(dataclasses.replace(host, emulator=dataclasses.replace(host.emulator, package="")), folder)
    assert problem.hint == "put it on PATH, or mend [emulator] command in boards/host.toml"


def test_a_board_without_emulator_says_to_give_a_port(folder: Path) -> None:
    problem = fails(dataclasses.replace(load_board("host"), emulator=None), folder)
    assert (str(problem), problem.code) == ("board host: has no emulator", EXIT_USER)
    assert "--port" in problem.hint


def test_firmware_that_was_not_built_names_the_command(tmp_path: Path) -> None:
    problem = fails(board("{elf}"), tmp_path / "kws" / "host-tflm")
    assert (problem.what, problem.hint) == ("does not exist yet", "run: make model name=kws board=host runtime=tflm")


def test_a_missing_emulator_names_the_debian_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    esp32 = load_board("esp32")
    (folder / "emulator.elf").touch()
    monkeypatch.setenv("PATH", str(folder))
    problem = fails(esp32, folder)
    assert (str(problem), problem.code) == (
        "qemu-system-xtensa: the emulator of board esp32 is not installed",
        EXIT_TOOL,
    )
    assert problem.hint == "apt install qemu-system-misc"


def test_a_missing_python_module_of_an_emulator_says_how_to_install_it(folder: Path) -> None:
    host = board("{python}", "-m", "pipeline.labwired_pty", "{elf}")
    assert host.emulator
    lacking = dataclasses.replace(host, emulator=dataclasses.replace(host.emulator, module="no_such.emulator"))
    problem = fails(lacking, folder)
    assert (str(problem), problem.code) == ("no_such.emulator: the emulator of board host is not installed", EXIT_TOOL)
    assert problem.hint == "pip install no_such.emulator"


def test_an_emulator_of_ours_that_does_not_compile_says_what_must_be_there(folder: Path) -> None:
    host = board("{program}", "{elf}")
    assert host.emulator
    mine = dataclasses.replace(host.emulator, source="boards/host.toml", link=("-lelf",), package="")
    problem = fails(dataclasses.replace(host, emulator=mine), folder)
    assert problem.hint == "gcc and what it links must be there: gcc boards/host.toml -lelf"


def test_the_emulator_may_be_a_python_module_of_ours() -> None:
    assert command(board("{python}", "-m", "x", "{elf}"), Path("/a.elf")) == [sys.executable, "-m", "x", "/a.elf"]


def test_an_emulator_that_ends_at_once_is_quoted(folder: Path) -> None:
    problem = fails(python("print('no such machine'); raise SystemExit(3)"), folder)
    assert problem.what == "ended at once with code 3; it said:\n    no such machine"
    assert problem.code == EXIT_DEVICE


def test_an_emulator_that_ends_at_once_without_a_word(folder: Path) -> None:
    assert fails(python(""), folder).what == "ended at once with code 0 without a word"


def test_an_emulator_that_names_no_pty_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.emulator.START_SECONDS", 2.5)
    problem = fails(python("import time; print('hm', flush=True); time.sleep(99)"), folder)
    assert problem.what == "named no pty in 2.5 s; it said:\n    hm"


def test_an_emulator_that_ends_during_the_work_explains_the_broken_line(folder: Path) -> None:
    said = "print(f'pty: /dev/{os.getpid()}'); print('segfault', flush=True); time.sleep(0.2); raise SystemExit(9)"
    with pytest.raises(Problem) as caught, emulate(python(f"import os, time; {said}"), folder) as path:
        while runs(int(path.removeprefix("/dev/"))):
            time.sleep(0.01)
        raise OSError("Input/output error")
    assert caught.value.what == f"ended with code 9; it said:\n    pty: {path}\n    segfault"


def test_a_problem_of_the_work_stays_what_it_is_while_the_emulator_lives(folder: Path) -> None:
    with pytest.raises(Problem, match="mine"), emulate(python("print('pty: /dev/pts/1', flush=True); input()"), folder):
        raise Problem("x", "mine")


def test_qemu_says_why_it_cannot_start(folder: Path) -> None:
    problem = fails(board("qemu-system-arm", "-M", "no-such-board"), folder)
    assert "unsupported machine type" in problem.what


def test_the_native_board_ends_with_whoever_started_it(tmp_path: Path) -> None:
    built = make_project(tmp_path, "host")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert build.main(["echo", "--board", "host", "--runtime", "echo"]) == 0
    for end in (lambda process: process.stdin.close(), lambda process: process.send_signal(signal.SIGTERM)):
        process = subprocess.Popen([built / "firmware.elf"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout and process.stdout.readline().startswith(b"pty: /dev/pts/")
        end(process)
        assert process.wait(5) in (0, 128 + signal.SIGTERM)
