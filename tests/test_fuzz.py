"""libFuzzer with ASan and UBSan on the device's half of the line: a minute in `make test`, longer with FUZZ_SECONDS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import echo
import pytest

SEEDS = {
    "hello": b"\x01\x01\x01",
    "run": b"\x01\x01\x01\x02\x18" + bytes(range(24)),
    "layers": b"\x01\x01\x01\x03\x18" + bytes(24),
    "tensor": b"\x01\x01\x01\x04\x22" + bytes(24) + b"\0\0\1\0\0\0\0\0\x10\0",
    "text": b"\x80\x0bdb load 24%" + b"\x80\x34db " + b"00" * 24 + b"%\x80\x0ainfer 1 0%",
    "broken": b"\x80\x05\x05ab\0\0",
}
WORDS = ["name%", "profile%", "timestamp%", "db load 24%", "db load ", "db print%", "infer ", "results%", "help%", "%"]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [("24", "16"), ("16", "16")], ids=["usual", "as many in as out"])
def test_a_minute_of_libfuzzer_finds_nothing(shape: tuple[str, str], tmp_path: Path) -> None:
    echo.need("clang")
    core, runtime = echo.PROJECT / "firmware" / "core", echo.FIXTURES / "echo_runtime"
    sources = [path for path in core.glob("*.c") if path.name != "main.c"]
    sources += [*runtime.glob("*.c"), echo.FIXTURES / "fuzz" / "main.c"]
    flags = ["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    features = ["-DWITH_LAYERS", "-DWITH_MLPERF", f"-DMODEL_INPUT_BYTES={shape[0]}", f"-DMODEL_OUTPUT_BYTES={shape[1]}"]
    program = tmp_path / "fuzz"
    argv = ["clang", "-std=gnu11", *flags, *features, *echo.include_flags(), *map(str, sources), "-o", str(program)]
    subprocess.run(argv, check=True)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, content in SEEDS.items():
        (corpus / name).write_bytes(content)
    (tmp_path / "words").write_text("".join(f'"{word}"\n' for word in WORDS))
    seconds = int(os.environ.get("FUZZ_SECONDS", "60")) // 2
    limits = [f"-max_total_time={seconds}", "-max_len=2000", "-timeout=20", f"-dict={tmp_path / 'words'}"]
    argv = [str(program), *limits, f"-artifact_prefix={tmp_path}/", str(corpus)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DONE" in done.stderr
