"""What a .tflite file calls its inputs and outputs."""

from __future__ import annotations

import re

import tflite


def as_called(content: bytes) -> bytes:
    """The file with its inputs and outputs in the order of the function that was converted, which the numbers in the
    signature's names tell: TensorFlow's converter leaves them in another."""
    made = bytearray(content)
    model = tflite.Model.GetRootAs(made, 0)
    graph, named = model.Subgraphs(0), model.SignatureDefs(0)
    for edge, at in ((graph.InputsAsNumpy(), named.Inputs), (graph.OutputsAsNumpy(), named.Outputs)):
        maps = sorted(map(at, range(len(edge))), key=lambda each: [int(n) for n in re.findall(rb"\d+", each.Name())])
        edge[:] = [each.TensorIndex() for each in maps]  # a view of `made`
    return bytes(made)
