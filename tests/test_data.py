"""Package files: pinned, checked, cached, and never run."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline import data, sdist_metadata
from pipeline.data import Package, load_pickled_npy, package_file, read_members
from pipeline.problem import EXIT_TOOL, Problem

CONTENT = b"1.5\n-2\n"
Cache = Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tinyml-pipeline"


def wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("waves/data/waves.csv"), CONTENT)  # dated 1980: the same bytes each time
    return buffer.getvalue()


def sdist(setup: str = "", requires: str = "setuptools", backend: str = "setuptools.build_meta") -> bytes:
    project = f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "{backend}"\n'
    files = {
        "waves-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: waves\nVersion: 1.0\n\nlong text\n",
        "waves-1.0/pyproject.toml": project.encode(),
        "waves-1.0/setup.py": setup.encode(),
        "waves-1.0/data/waves.csv": CONTENT,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def package(content: bytes, file: str = "waves-1.0-py3-none-any.whl", sha256: str | None = None) -> Package:
    return Package("waves", "1.0", file, sha256 or hashlib.sha256(content).hexdigest(), "none")


def fake_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """Put a Python script in pip's place."""
    path = tmp_path / "pip.py"
    path.write_text(script)
    monkeypatch.setattr(data, "PIP", [sys.executable, str(path)])


def gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, content: bytes) -> None:
    script = "import sys, pathlib\n"
    script += f"pathlib.Path(sys.argv[sys.argv.index('--dest') + 1], {file!r}).write_bytes({content!r})\n"
    fake_pip(monkeypatch, tmp_path, script)


def real_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, content: bytes) -> None:
    """pip itself, with a folder in the place of the index."""
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / file).write_bytes(content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))


def test_downloads_once_and_works_offline_after_that(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = package(wheel())
    gives(monkeypatch, tmp_path, pinned.file, wheel())
    first = package_file(pinned)
    fake_pip(monkeypatch, tmp_path, "raise SystemExit('no network')")
    assert package_file(pinned) == first == cache / pinned.file
    assert read_members(pinned, ["/waves.csv"]) == {"/waves.csv": CONTENT}


def test_refuses_and_does_not_keep_a_file_with_another_hash(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = package(wheel(), sha256="0" * 64)
    gives(monkeypatch, tmp_path, pinned.file, wheel())
    with pytest.raises(Problem, match=r"is not the pinned file .*it was not kept") as caught:
        package_file(pinned)
    assert "0" * 64 in caught.value.hint
    assert list(cache.iterdir()) == []


def test_pip_itself_refuses_another_hash_before_it_looks_inside(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    content = sdist(setup=f"open({str(ran)!r}, 'w')")
    pinned = package(content, "waves-1.0.tar.gz", sha256="0" * 64)
    real_pip(monkeypatch, tmp_path, pinned.file, content)
    with pytest.raises(Problem, match=r"is not the pinned file \(pip refused it\)"):
        package_file(pinned)
    assert not ran.exists()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("requires", "backend"),
    [
        ("setuptools", "setuptools.build_meta"),
        ("hatchling", "hatchling.build"),
        ("setuptools>=999", "setuptools.build_meta"),
    ],
)
def test_fetches_an_sdist_with_pip_without_running_its_code(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requires: str, backend: str
) -> None:
    ran = tmp_path / "ran"
    content = sdist(f"open({str(ran)!r}, 'w')", requires, backend)
    pinned = package(content, "waves-1.0.tar.gz")
    real_pip(monkeypatch, tmp_path, pinned.file, content)
    assert read_members(pinned, ["/data/waves.csv"]) == {"/data/waves.csv": CONTENT}
    assert not ran.exists()


def test_replaces_a_damaged_file_in_the_cache(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = package(wheel())
    cache.mkdir(parents=True)
    (cache / pinned.file).write_bytes(wheel()[:-1])
    gives(monkeypatch, tmp_path, pinned.file, wheel())
    assert package_file(pinned).read_bytes() == wheel()


def test_says_what_pip_said_when_the_download_fails(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(monkeypatch, tmp_path, "import sys; sys.exit('ERROR: No matching distribution found for waves==1.0\\n')")
    with pytest.raises(Problem, match="pip could not download it: No matching distribution") as caught:
        package_file(package(wheel()))
    assert caught.value.code == EXIT_TOOL
    assert str(cache) in caught.value.hint


def test_says_when_pip_gives_another_file(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gives(monkeypatch, tmp_path, "waves-1.0-cp311-none-any.whl", wheel())
    with pytest.raises(Problem, match=r"pip did not give waves-1\.0-py3-none-any\.whl"):
        package_file(package(wheel()))


def test_says_which_member_is_missing(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gives(monkeypatch, tmp_path, package(wheel()).file, wheel())
    with pytest.raises(Problem, match=r"holds no /tides\.csv"):
        read_members(package(wheel()), ["/waves.csv", "/tides.csv"])


def npy(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(value, dtype=object), allow_pickle=True)
    return buffer.getvalue()


def test_unpickler_reads_arrays_inside_plain_values() -> None:
    read = load_pickled_npy(npy({"X": [np.arange(3.0)], "names": ["a"], "subject": np.array([1, 2])}), "x.npy")
    assert read["X"][0].tolist() == [0, 1, 2]
    assert (read["names"], read["subject"].tolist()) == (["a"], [1, 2])


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_unpickler_refuses_a_pickle_that_would_run_a_command(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"it asks for (posix|nt)\.system"):
        load_pickled_npy(npy({"X": Malicious(tmp_path / "ran")}), "watch.npy")
    assert not (tmp_path / "ran").exists()


def test_unpickler_refuses_other_codecs_and_broken_files() -> None:
    with pytest.raises(pickle.UnpicklingError, match="codec rot13"):
        data._ALLOWED["_codecs", "encode"]("x", "rot13")
    for broken in (b"", npy([1])[:-20], b"\x93NUMPY\x01\x00v\x00garbage"):
        with pytest.raises(Problem, match=r"watch\.npy: is not a pickle of arrays"):
            load_pickled_npy(broken, "watch.npy")


def test_reads_one_number_a_line() -> None:
    assert data.read_numbers(CONTENT).tolist() == [1.5, -2.0]


def test_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert data.cache_dir() == Path.home() / ".cache" / "tinyml-pipeline"


def test_backend_builds_nothing() -> None:
    with pytest.raises(NotImplementedError):
        sdist_metadata.build_wheel()
