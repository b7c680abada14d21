"""The README's test of one's own, run by pytest on the board `host` and on an emulated microcontroller."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT, stage
from test_live import readme_example, user_tests


@pytest.mark.parametrize("board", ["host", "cortex-m4"])
def test_the_readmes_five_lines_test_a_model_in_its_firmware(board: str, tiny_copy: Path) -> None:
    (tiny_copy / "boards" / f"{board}.toml").write_text((ROOT / "boards" / f"{board}.toml").read_text())
    (tiny_copy / "firmware").symlink_to(ROOT / "firmware")
    for name in ("generate", "build"):
        made = stage(name, "tiny", "--board", board, cwd=tiny_copy)
        assert made.returncode == 0, made.stderr
    exact = (
        "def test_every_byte(device):\n"
        f"    assert device.info.board == {board!r}\n"
        "    assert (device.stream(device.built.reference['inputs']) == device.built.reference['outputs']).all()\n"
    )
    done = user_tests(readme_example() + "\n" + exact, "--hil-board", board)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
