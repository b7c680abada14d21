"""TFLite Micro's own headers for type checks, from packages: xmos-ai-tools has them, tensorflow gemmlowp's."""

from __future__ import annotations

import fcntl
import zipfile
from importlib.util import find_spec
from pathlib import Path

from pipeline.data import Package, cache_dir, package_file

XMOS = Package(
    "xmos-ai-tools",
    "1.4.1",
    "xmos_ai_tools-1.4.1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "bdc5dcf60f7457d587a4f4dd88d09e26ef23eb3b54058159ce7ed5289f37c4c1",
    "Apache-2.0 (TFLite Micro's headers)",
)
INSIDE = "xmos_ai_tools/runtime/include/"
PARTS = ("tensorflow/", "flatbuffers/", "signal/")


def include_flags() -> list[str]:
    """Flags that find the headers; that package calls TFLite Micro's namespace tflite_micro."""
    spec = find_spec("tensorflow")  # found, not imported: that takes seconds
    assert spec and spec.origin, "tensorflow is not installed: pip install -e .[train,test]"
    gemmlowp = Path(spec.origin).parent / "include" / "external" / "gemmlowp"
    return [f"-isystem{_unpacked()}", f"-isystem{gemmlowp}", "-Dtflite=tflite_micro"]


def _unpacked() -> Path:
    """The headers in the cache, unpacked once, by one test worker."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "tflm-headers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cache_dir() / f"tflm-headers-{XMOS.sha256[:8]}"
        if not (folder / "complete").exists():
            with zipfile.ZipFile(package_file(XMOS)) as wheel:
                for name in wheel.namelist():
                    if name.startswith(tuple(INSIDE + part for part in PARTS)) and not name.endswith("/"):
                        target = folder / name.removeprefix(INSIDE)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(wheel.read(name))
            (folder / "complete").touch()
    return folder
