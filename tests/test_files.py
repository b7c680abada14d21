"""Files are written whole or not at all; what cannot be read names the command that makes it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import files
from pipeline.problem import Problem


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "a.json"
    files.write_json(path, {"old": 1})

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Problem, match="no space left on device") as caught:
        files.write_json(path, {"new": 2})
    assert (caught.value.where, caught.value.hint) == (str(path), "make room on that disk and run it again")
    monkeypatch.undo()
    assert files.read_json(path, "make") == {"old": 1}
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_for_which_there_is_no_room_leave_nothing_behind(
    packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, content: Any) -> int:
            if self.tell() + len(content) > 300:
                raise OSError(28, "No space left on device")
            return super().write(content)

    @contextmanager
    def small(handle: int, mode: str) -> Iterator[Full]:
        os.close(handle)
        with Full() as file:
            yield file

    behind: list[object] = []
    with monkeypatch.context() as patch, pytest.raises(Problem, match=r"a.npz: no space left on device"):
        patch.setattr(files.os, "fdopen", small)
        patch.setattr(sys, "unraisablehook", behind.append)
        files.write_arrays(tmp_path / "a.npz", {"x": np.random.default_rng(0).random(1000)}, packed)
    assert (list(tmp_path.iterdir()), behind) == ([], [])


def test_a_write_where_a_file_is_in_the_way_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(Problem, match=r"b.json: (not a directory|file exists)") as caught:
        files.write_json(tmp_path / "a" / "b.json", {})
    assert caught.value.hint == "a folder is needed where a file is"
    with pytest.raises(Problem, match="is a directory") as caught:
        files.write_json(tmp_path, {})
    assert caught.value.hint == "a file is needed where a folder is"


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"x": np.arange(6, dtype=np.int8).reshape(2, 3), "y": np.array([1.5], np.float32)}
    files.write_arrays(tmp_path / "a.npz", arrays)
    again = files.read_arrays(tmp_path / "a.npz", "make")
    assert all(np.array_equal(again[name], arrays[name]) and again[name].dtype == arrays[name].dtype for name in arrays)


def test_arrays_that_are_not_packed_stay_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays = {"x": np.arange(6, dtype=np.int8).reshape(2, 3), "y": np.array([1.5, 2], np.float32)}
    for packed in (False, True):
        files.write_arrays(path, arrays, packed)
        found = files.map_arrays(path, "make")
        assert {name: (array.dtype, array.tolist()) for name, array in found.items()} == {
            name: (array.dtype, array.tolist()) for name, array in arrays.items()
        }
        assert [array.flags.writeable for array in found.values()] == [packed, packed]  # a map is not
    for odd in (np.zeros((0, 3), np.int8), np.asfortranarray(arrays["x"])):
        files.write_arrays(path, {"x": odd, "y": arrays["y"]}, packed=False)
        assert np.array_equal(files.map_arrays(path, "make")["x"], odd)


def test_a_damaged_byte_of_arrays_that_stay_on_disk_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    files.write_arrays(path, {"x": np.arange(100, dtype=np.int8)}, packed=False)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(range(50, 60)))] ^= 1
    path.write_bytes(content)
    with pytest.raises(Problem, match=r"is not a readable .npz \(Bad CRC-32"):
        files.map_arrays(path, "make")


def test_what_cannot_be_read_names_the_command_that_makes_it(tmp_path: Path) -> None:
    for content in (b"", b"not a zip", b"PK\x03\x04 cut off"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(Problem, match=r"is not a readable .npz") as caught:
            files.read_arrays(tmp_path / "a.npz", "python -m pipeline.quantize rehab")
        assert caught.value.hint == "run: python -m pipeline.quantize rehab"
    files.write_arrays(tmp_path / "a.npz", {"x": np.zeros(3)})
    with pytest.raises(Problem, match="lacks y, z"):
        files.read_arrays(tmp_path / "a.npz", "make model", ("x", "y", "z"))
    for text, what in (("[1]", r"holds no JSON object but \[1\]"), ("null", "holds no JSON object but null"),
                       ('{"x": 1}', "lacks y, z")):  # fmt: skip
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(Problem, match=what):
            files.read_json(tmp_path / "a.json", "make model", ("x", "y", "z"))
    (tmp_path / "a.json").write_bytes(b'{"\xff')
    with pytest.raises(Problem, match=r"is not JSON \(not UTF-8 at byte 2\)"):
        files.read_json(tmp_path / "a.json", "make model")
    (tmp_path / "a.json").write_text('{"cut": ')
    with pytest.raises(Problem, match=r"is not JSON .*line 1"):
        files.read_json(tmp_path / "a.json", "make model")
    with pytest.raises(Problem, match="does not exist yet"):
        files.read_json(tmp_path / "b.json", "make model")


def test_nan_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        files.write_json(tmp_path / "a.json", {"accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_the_project_is_found_from_a_folder_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("boards", "models/mine", "build/mine/host-compiled"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "models" / "mine" / "model.py").touch()
    monkeypatch.chdir(tmp_path / "build" / "mine" / "host-compiled")
    assert files.project_root() == tmp_path
    assert files.model_names() == ["mine"]
    with pytest.raises(Problem, match="there is no model mime") as caught:
        files.check_model_name("mime")
    assert caught.value.hint == "did you mean mine?"


def test_outside_any_project_it_says_where_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "pipeline" / "files.py"))
    with pytest.raises(Problem, match="is not inside the project"):
        files.project_root()


def test_the_model_id_is_the_start_of_the_sha_256() -> None:
    assert files.model_id(b"abc") == "ba7816bf8f01cfea"
