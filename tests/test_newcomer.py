"""What the README promises a newcomer: a board and a model are one file each, an operator one per language."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, stage

ROOMY = "ram_bytes = 262_144\narena_bytes = 196_608"


def assert_passes(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_and_a_board_are_one_file_each(tiny_copy: Path) -> None:
    """The project's only model is the fixture `tiny`, its board a file that nobody has seen before."""
    shutil.copytree(ROOT / "firmware", tiny_copy / "firmware")
    board = (ROOT / "boards" / "cortex-m4.toml").read_text()
    assert ROOMY in board
    smaller = board.replace(ROOMY, "ram_bytes = 65_536\narena_bytes = 32_768")
    (tiny_copy / "boards" / "my-board.toml").write_text(smaller)
    for words in (["generate", "tiny"], ["build", "tiny"], ["hil", "--name", "tiny"]):
        assert_passes(stage(*words, "--board", "my-board", cwd=tiny_copy))
    report = json.loads((tiny_copy / "build" / "tiny" / "my-board-compiled" / "report.json").read_text())
    assert (report["verdict"], report["board"], report["emulated"]) == ("pass", "my-board", True)
    assert report["windows"]["equal"] == report["windows"]["total"] > 0
    assert report["memory"]["ram"] == 65_536
    listed = stage("boards", cwd=tiny_copy)
    assert "my-board" in listed.stdout


PROGRAM = """
import os, pathlib, sys
from ops.cases_project import answers, cases_of, serving, write_project
from ops.test_conformance import assert_equal, reference_answers
op, folder = sys.argv[1], pathlib.Path(sys.argv[2])
cases = cases_of(op)
assert_equal(op, "tflite-runtime", cases, [reference_answers(case) for case in cases])
write_project(folder, "cortex-m4", cases)
os.chdir(folder)
with serving(folder, "cortex-m4") as device:
    assert_equal(op, "C on Cortex-M4", cases, answers(device, cases))
print(len(cases), "cases of", type(cases[0].plan.steps[0].call).__name__, cases[0].plan.steps[0].call.kernel)
"""


def test_the_readmes_operator_is_added_by_one_file_per_language(tmp_path: Path) -> None:
    """Both files are the README's own, under the names that it gives them."""
    project = tmp_path / "project"
    for folder in ("pipeline", "firmware", "boards", "models", "tests"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "README.md").read_text().split("## Add an operator")[1].split("\n## ")[0]
    blocks = re.findall(r"`([\w/]+\.(?:py|h))`[^`]*```\w+\n(.*?)```", text, re.DOTALL)
    assert [Path(name).suffix for name, _ in blocks] == [".py", ".h"]
    for name, block in blocks:
        assert not (project / name).exists()
        (project / name).write_text(block)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), str(project / "tests")])}
    argv = [sys.executable, "-c", PROGRAM, "RELU_N1_TO_1", str(tmp_path / "cases")]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True)
    assert_passes(done)
    assert "3 cases of Call nn_relu_n1_to_1_s8" in done.stdout
    for name in ("pyproject.toml", ".clang-format"):
        shutil.copy(ROOT / name, project)
    (python, _), (header, _) = blocks
    clang_format = str(Path(sys.executable).with_name("clang-format"))
    for words in ("-m ruff check", "-m ruff format --check", "-m mypy"):
        assert_passes(
            subprocess.run([sys.executable, *words.split(), python], cwd=project, capture_output=True, text=True)
        )
    argv = [clang_format, "--dry-run", "--Werror", header]
    assert_passes(subprocess.run(argv, cwd=project, capture_output=True, text=True))


def test_every_command_of_the_readme_is_there() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)\b", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "model", "flash", "hil", "boards", "help"} <= named <= targets
    for module in set(re.findall(r"(?:python -m pipeline|\$\(STAGE\))\.(\w+)", text)):
        assert "\n    run(main)\n" in (ROOT / "pipeline" / f"{module}.py").read_text(), module
