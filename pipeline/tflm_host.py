"""The board tflm-host: TFLite Micro's own interpreter, from its Python package, speaking the protocol on a pty."""

from __future__ import annotations

import argparse
import os
import struct
import time
import tty
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import edges, files, wire
from pipeline.flatbuffer import read
from pipeline.problem import EXIT_TOOL, Problem, run
from pipeline.wire import Frame

CREDITS = 4
REFUSAL, FAULT = 0, 1
CODES = {name: code for code, name in wire.ERRORS.items()}
PART = struct.Struct("<HHIH")  # what TENSOR has behind the window
NO_STEP = 0xFFFF  # the window itself
MICROSECONDS = 2  # the protocol's kind of clock
NO_SEQ = wire.UNTRUSTED_SEQ
PRESERVED_BYTES = 16 << 20  # of an arena in which no tensor takes another's place


class Interpreter:
    """The model in TFLite Micro, in an arena of the planned size; `run` is bytes to bytes."""

    def __init__(self, flatbuffer: bytes, arena_bytes: int) -> None:
        try:
            from tflite_micro import runtime
        except ImportError as error:
            raise Problem("tflite_micro", "is not installed", "pip install tflite-micro", EXIT_TOOL) from error
        self._interpreter = runtime.Interpreter.from_bytes(flatbuffer, arena_size=arena_bytes)
        self._flatbuffer, self._graph = flatbuffer, read(flatbuffer)

    def run(self, window: bytes, go_on: bool = False) -> bytes:
        """One inference: the int8 window, the int8 answer; unless it goes on, it knows nothing of windows before it."""
        if not go_on:
            self._interpreter.reset()
        self._set(self._interpreter, window)
        self._interpreter.invoke()
        outputs = self._graph.edge("output")
        return edges.join(outputs, [self._interpreter.get_output(i) for i in range(len(outputs))]).tobytes()

    def _set(self, interpreter: Any, window: bytes) -> None:
        """Each input of the window."""
        for i, values in enumerate(edges.split(self._graph.edge("input"), np.frombuffer(window, np.int8))):
            interpreter.set_input(values, i)

    def tensors(self, window: bytes, indices: Sequence[int]) -> list[bytes]:
        """Tensors by index as one inference leaves them, in an arena where each keeps a place of its own."""
        from tflite_micro import runtime

        keep = runtime.InterpreterConfig.kPreserveAllTensors
        whole = runtime.Interpreter.from_bytes(self._flatbuffer, arena_size=PRESERVED_BYTES, intrepreter_config=keep)
        self._set(whole, window)
        whole.invoke()
        return [np.asarray(whole.GetTensor(index, 0)["tensor_data"]).tobytes() for index in indices]


class Session:
    """The device's side of firmware/core/PROTOCOL.md for one interpreter."""

    def __init__(self, plan: Mapping[str, Any], interpreter: Interpreter) -> None:
        self._plan, self._interpreter = plan, interpreter
        self._greeted = False
        self._answers: deque[tuple[int, int, bytes]] = deque(maxlen=CREDITS)  # seq, CRC of the input, RESULT's body

    def answer(self, block: bytes) -> Frame:
        """The answer to what stood between two 0x00."""
        frame = wire.decode(block)
        if frame is None:
            return _error(NO_SEQ, REFUSAL, "crc", "the CRC does not match")
        if frame.type == wire.HELLO:
            return self._hello(frame)
        if frame.type in (wire.RUN, wire.STREAM):
            return self._run(frame)
        if frame.type in (wire.LAYERS, wire.TENSOR):
            return self._look(frame)
        return _error(frame.seq, REFUSAL, "type", "unknown type of frame")

    def _hello(self, frame: Frame) -> Frame:
        if len(frame.body) != 1:
            return _error(frame.seq, REFUSAL, "length", "HELLO has a body of 1 byte")
        if frame.body[0] != wire.PROTOCOL:
            return _error(frame.seq, REFUSAL, "protocol", f"this device speaks protocol {wire.PROTOCOL}")
        self._answers.clear()
        self._greeted = True
        return Frame(wire.INFO, frame.seq, info_body(self._plan))

    def _run(self, frame: Frame) -> Frame:
        if not self._greeted:
            return _error(frame.seq, REFUSAL, "session", "HELLO comes first")
        if len(frame.body) != self._plan["input"]["bytes"]:
            return _error(frame.seq, REFUSAL, "length", "RUN and STREAM have a body of exactly one window")
        crc = zlib.crc32(frame.body)
        for seq, input_crc, body in self._answers:
            if (seq, input_crc) == (frame.seq, crc):
                return Frame(wire.RESULT, frame.seq, body)
        start = time.perf_counter_ns()
        try:
            output = self._interpreter.run(frame.body, frame.type == wire.STREAM)
        except RuntimeError as error:
            return _error(frame.seq, FAULT, "runtime", str(error))
        ticks = max(1, (time.perf_counter_ns() - start) // 1000)
        self._answers.append((frame.seq, crc, struct.pack("<II", ticks & 0xFFFFFFFF, crc) + output))
        return Frame(wire.RESULT, frame.seq, self._answers[-1][2])

    def _look(self, frame: Frame) -> Frame:
        """LAYERS and TENSOR from preserved tensors; TFLite Micro's package times no single operator: 0 ticks."""
        bytes_, extra = self._plan["input"]["bytes"], PART.size if frame.type == wire.TENSOR else 0
        if not self._greeted:
            return _error(frame.seq, REFUSAL, "session", "HELLO comes first")
        if len(frame.body) != bytes_ + extra:
            return _error(
                frame.seq, REFUSAL, "length", "LAYERS and TENSOR have a body of one window, and what is asked"
            )
        window, outputs = frame.body[:bytes_], [facts["output"] for facts in self._plan["operators"]]
        made = self._interpreter.tensors(window, outputs)
        crc = struct.pack("<I", zlib.crc32(window))
        if frame.type == wire.LAYERS:
            records = b"".join(struct.pack("<II", 0, zlib.crc32(content)) for content in made)
            return Frame(wire.LAYERS_ANSWER, frame.seq, crc + records)
        maker, when, offset, count = PART.unpack(frame.body[bytes_:])
        if maker != NO_STEP and not maker <= when < len(made):
            return _error(frame.seq, REFUSAL, "step", "there is no such step")
        content = window if maker == NO_STEP else made[maker]
        part = content[offset : offset + count]
        return Frame(wire.TENSOR_ANSWER, frame.seq, crc + struct.pack("<I", len(content)) + part)


def _error(seq: int, kind: int, code: str, text: str) -> Frame:
    return Frame(wire.ERROR, seq, bytes([kind, CODES[code]]) + text.encode("ascii", "replace"))


def info_body(plan: Mapping[str, Any]) -> bytes:
    """INFO's body, from plan.json."""
    given, made = plan["input"], plan["output"]
    sizes = (given["bytes"], made["bytes"], plan["arena"]["pointers_of_8_bytes"]["bytes"], plan["weights_bytes"])
    head = struct.pack("<BBBBI", wire.PROTOCOL, 1, MICROSECONDS, CREDITS, 1_000_000)
    numbers = struct.pack("<IIIIHH", *sizes, len(plan["operators"]), plan["kernel_version"])
    quant = struct.pack("<fifi", given["scale"], given["zero_point"], made["scale"], made["zero_point"])
    texts = (plan["board"], plan["model"], "tflm", f"tflite-micro {version('tflite-micro')}, reference kernels")
    strings = b"".join(bytes([len(text)]) + text.encode("ascii", "replace") for text in texts)
    return head + numbers + quant + bytes.fromhex(plan["model_id"]) + strings


def serve(session: Session, line: int) -> None:
    """Answer frames on the open file `line` until it is closed."""
    pending = b""
    while received := os.read(line, 65536):
        *blocks, pending = (pending + received).split(b"\0")
        for block in blocks:
            if block:
                _write(line, wire.encode(session.answer(block)))


def _write(line: int, content: bytes) -> None:
    while content:
        content = content[os.write(line, content) :]


def main(argv: Sequence[str]) -> int:
    """Serve build/<name>/tflm-host-tflm/firmware.tflite with the plan.json beside it, on a pty that is printed."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.tflm_host", description=__doc__)
    parser.add_argument("model", type=Path, help="the .tflite, with plan.json beside it")
    options = parser.parse_args(argv)
    plan = files.read_json(options.model.parent / "plan.json", "make model board=tflm-host", ["arena"])
    arena = plan["arena"]["pointers_of_8_bytes"]["bytes"]
    session = Session(plan, Interpreter(options.model.read_bytes(), arena))
    ours, theirs = os.openpty()  # `theirs` stays open: the pty outlives each host that opens it
    tty.setraw(theirs)
    print(f"pty: {os.ttyname(theirs)}", flush=True)  # noqa: T201
    serve(session, ours)
    return 0


if __name__ == "__main__":
    run(main)
