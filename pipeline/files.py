"""Where things lie, and writing them so that a reader never sees half a file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.problem import Problem, did_you_mean, refused

_UNREADABLE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


def project_root() -> Path:
    """The project: the nearest folder upwards that holds boards/ and models/, else the one this package lies in.

    On a bench that only checks boards, build/ instead of models/ is enough.
    """
    for folder in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[1]):
        if (folder / "boards").is_dir() and any((folder / name).is_dir() for name in ("models", "build")):
            return folder
    raise Problem(Path.cwd(), "is not inside the project", "run it in the folder that holds boards/ and models/")


def model_names() -> list[str]:
    """Names of the folders models/<name>/ that hold a model.py."""
    return sorted(path.parent.name for path in (project_root() / "models").glob("*/model.py"))


def board_names() -> list[str]:
    """Names of all boards: the files of boards/ but local.toml, which holds settings of this machine, and hidden ones,
    which editors leave."""
    names = (path.stem for path in (project_root() / "boards").glob("*.toml"))
    return sorted(name for name in names if name != "local" and not name.startswith("."))


def check_board_name(name: str) -> str:
    """The name itself when boards/<name>.toml exists, else a Problem with the nearest name."""
    if name not in board_names():
        raise Problem("boards", f"there is no board {name}", did_you_mean(name, board_names()))
    return name


def tflite_made_by(name: str) -> str:
    """The command that makes a model's .tflite and what belongs to it: `ready` where its file brings one."""
    file = project_root() / "models" / name / "model.py"
    brings = file.exists() and re.search(r"^READY = ", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return f"python -m pipeline.{'ready' if brings else 'quantize'} {name}"


def check_model_name(name: str) -> str:
    """The name itself when models/<name>/model.py exists, else a Problem with the nearest name."""
    if name not in model_names():
        raise Problem("models", f"there is no model {name}", did_you_mean(name, model_names()))
    return name


def check_runtime(name: str) -> str:
    """The name itself when firmware/runtimes/<name>/ exists, else a Problem with the nearest name."""
    known = sorted(path.name for path in (project_root() / "firmware" / "runtimes").glob("*") if path.is_dir())
    if name not in known:
        raise Problem("firmware/runtimes", f"there is no runtime {name}", did_you_mean(name, known))
    return name


def build_dir(name: str) -> Path:
    """build/<name>: the training artefacts of one model."""
    return project_root() / "build" / name


def firmware_dir(name: str, board: str, runtime: str) -> Path:
    """build/<name>/<board>-<runtime>: firmware and reports."""
    return build_dir(name) / f"{board}-{runtime}"


def make_model(name: str, board: str, runtime: str) -> str:
    """The command that makes all of `firmware_dir`."""
    return f"make model name={name} board={board}" + (f" runtime={runtime}" if runtime != "compiled" else "")


def needed(path: Path, made_by: str) -> Path:
    """The path when it exists, else a Problem that names the command which makes it."""
    if not path.exists():
        raise Problem(path, "does not exist yet", f"run: {made_by}")
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file in the same folder, then a rename."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when all of it was written; a Problem when the disk refuses it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise refused(error, path) from error


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys off (order is meaning), two spaces, and a newline at the end."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, made_by: str, keys: Iterable[str] = ()) -> Any:
    """Read the JSON object that a stage wrote, in which there are `keys`; what is missing, broken or of an older
    version names the command that makes it."""
    try:
        found = json.loads(needed(path, made_by).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise Problem(path, f"is not JSON ({error.msg}, line {error.lineno})", f"run: {made_by}") from error
    except UnicodeDecodeError as error:
        raise Problem(path, f"is not JSON (not UTF-8 at byte {error.start})", f"run: {made_by}") from error
    if not isinstance(found, dict):
        raise Problem(path, f"holds no JSON object but {json.dumps(found)[:40]}", f"run: {made_by}")
    _check_keys(path, found, made_by, keys)
    return found


def _check_keys(path: Path, found: Iterable[str], made_by: str, keys: Iterable[str]) -> None:
    lacking = [key for key in keys if key not in found]
    if lacking:
        raise Problem(path, f"lacks {', '.join(lacking)}", f"run: {made_by}")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], packed: bool = True) -> None:
    """Write named arrays as an .npz, whole or not at all; only one that is not packed can be mapped."""
    way = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with replacing(path) as file, zipfile.ZipFile(file, "w", way) as archive:  # np.savez leaves it open on a full disk
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, values, allow_pickle=False)


def read_arrays(path: Path, made_by: str, keys: Iterable[str] = ()) -> dict[str, NDArray[Any]]:
    """Read named arrays from an .npz that a stage wrote (no pickles), among which there are `keys`."""
    try:
        with np.load(needed(path, made_by), allow_pickle=False) as archive:
            _check_keys(path, archive.files, made_by, keys)
            return {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise Problem(path, f"is not a readable .npz ({error})", f"run: {made_by}") from error


def map_arrays(path: Path, made_by: str) -> dict[str, NDArray[Any]]:
    """`read_arrays`, but what is not packed stays on disk and is read as it is used; its CRCs are checked now."""
    try:
        with zipfile.ZipFile(needed(path, made_by)) as archive:
            members = archive.infolist()
            plain = all(each.compress_type == zipfile.ZIP_STORED for each in members) and not archive.testzip()
        found = {each.filename.removesuffix(".npy"): _mapped(path, each) for each in members if plain}
    except _UNREADABLE as error:
        raise Problem(path, f"is not a readable .npz ({error})", f"run: {made_by}") from error
    arrays = {name: array for name, array in found.items() if array is not None}
    return arrays if plain and len(arrays) == len(found) else read_arrays(path, made_by)


def _mapped(path: Path, member: zipfile.ZipInfo) -> NDArray[Any] | None:
    """An array as it lies in the file, or None where it cannot: first comes the zip's header, then the .npy's."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        file.seek(int.from_bytes(file.read(2), "little") + int.from_bytes(file.read(2), "little"), os.SEEK_CUR)
        if np.lib.format.read_magic(file) != (1, 0):  # type: ignore[no-untyped-call]
            return None
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
        if by_column or dtype.hasobject or not np.prod(shape):
            return None
        return np.asarray(np.memmap(file, dtype, "r", file.tell(), shape))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_id(flatbuffer: bytes) -> str:
    """First 8 bytes of the SHA-256 of a model.tflite, as 16 hex digits."""
    return hashlib.sha256(flatbuffer).hexdigest()[:16]
