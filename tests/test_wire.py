"""Frames and bodies: what goes in comes out, and nothing else does."""

from __future__ import annotations

import struct
import zlib

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from pipeline import wire
from pipeline.wire import Frame, Splitter

frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 0xFFFF), st.binary(max_size=600))


def info_body(**changes: object) -> bytes:
    facts = {"protocol": 1, "reset": 1, "clock": 1, "credits": 2, "hz": 40_000_000, "input": 768, "output": 7}
    facts |= {"arena": 2048, "weights": 9000, "operators": 8, "version": 1, "in_scale": 0.5, "in_zero": -3}
    facts |= {"out_scale": 0.25, "out_zero": 4, "id": bytes.fromhex("5f1c02ab00112233"), **changes}
    head = struct.pack("<BBBBIIIIIHHfifi8s", *facts.values())
    return head + b"".join(bytes([len(text)]) + text for text in (b"esp32", b"rehab", b"compiled", b"portable"))


@given(frames)
def test_a_frame_survives_the_line(frame: Frame) -> None:
    sent = wire.encode(frame)
    assert sent.count(0) == 1 and sent[-1] == 0
    assert wire.decode(sent[:-1]) == frame


def test_a_frame_is_what_the_protocol_says() -> None:
    content = b"\x02\x34\x12" + b"\x00\x05"
    assert wire.encode(Frame(wire.RUN, 0x1234, b"\x00\x05")) == (
        cobs.encode(content + struct.pack("<I", zlib.crc32(content))) + b"\0"
    )


@given(frames, st.data())
def test_one_flipped_bit_is_never_a_frame(frame: Frame, data: st.DataObject) -> None:
    sent = bytearray(wire.encode(frame))
    bit = data.draw(st.integers(0, 8 * len(sent) - 1))
    sent[bit // 8] ^= 1 << bit % 8
    assert Splitter().feed(bytes(sent)) == []


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_frames_arrive_whole_however_the_bytes_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    stream, splitter, got, at = b"".join(map(wire.encode, sent)), Splitter(), [], 0
    for turn in range(len(stream)):
        size = cuts[turn % len(cuts)]
        got += splitter.feed(stream[at : at + size])
        at += size
    assert got == sent
    assert splitter.damaged == 0 and splitter.noise_bytes == 0


def test_log_lines_before_a_frame_are_set_aside() -> None:
    splitter, frame = Splitter(), Frame(wire.RESULT, 7, b"\n\n12345")
    assert splitter.feed(b"I (31) boot: hello\r\nready\r\n" + wire.encode(frame)) == [frame]
    assert splitter.noise() == b"I (31) boot: hello\r\nready\r\n"
    assert splitter.damaged == 0


def test_text_without_a_line_end_costs_that_frame_only() -> None:
    splitter, frame = Splitter(), Frame(wire.RESULT, 7, b"abc")
    assert splitter.feed(b"boot" + wire.encode(frame) + wire.encode(frame)) == [frame]
    assert splitter.damaged == 1


def test_noise_without_end_is_dropped_but_its_tail_is_kept() -> None:
    splitter = Splitter()
    for _ in range(300):
        splitter.feed(b"x" * 5000)
    assert splitter.noise_bytes >= 1 << 20
    assert splitter.noise() == b"x" * 512


def test_info_is_read_field_by_field() -> None:
    info = wire.parse_info(info_body())
    assert (info.clock_kind, info.reset_cause, info.clock_hz, info.credits) == ("cycles", "power-on", 40_000_000, 2)
    assert (info.input_bytes, info.output_bytes, info.arena_bytes, info.weights_bytes) == (768, 7, 2048, 9000)
    assert (info.operators, info.kernel_version, info.model_id) == (8, 1, "5f1c02ab00112233")
    assert (info.input_scale, info.input_zero_point, info.output_scale, info.output_zero_point) == (0.5, -3, 0.25, 4)
    assert (info.board, info.model, info.runtime, info.kernel_build) == ("esp32", "rehab", "compiled", "portable")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "speaks protocol none, this harness speaks 1"),
        (info_body(protocol=2), "speaks protocol 2, this harness speaks 1"),
        (info_body()[:30], "sent an INFO of 30 bytes, at least 52 are needed"),
        (info_body()[:-1], "strings are cut short"),
        (info_body()[:52], "strings are cut short"),
        (info_body() + b"xy", "2 bytes too many"),
        (info_body(clock=9), "unknown (9) kind"),
        (info_body(hz=0), "clock of 0 Hz"),
        (info_body(credits=0), "no credits"),
        (info_body(input=0), "0 input and 7 output bytes"),
        (info_body(in_scale=float("nan")), "must be positive"),
        (info_body(out_scale=-1.0), "must be positive"),
    ],
)
def test_refuses_a_broken_info(body: bytes, what: str) -> None:
    with pytest.raises(ValueError) as error:
        wire.parse_info(body)
    assert what in str(error.value)


def test_result_must_have_exactly_the_output() -> None:
    body = struct.pack("<II", 900, 0xDEADBEEF) + b"abc"
    assert wire.parse_result(body, 3) == wire.Result(900, 0xDEADBEEF, b"abc")
    for length in (2, 4):
        with pytest.raises(ValueError, match=f"answered 3 output bytes, its INFO says {length}"):
            wire.parse_result(body, length)


def test_error_is_a_fault_or_a_refusal() -> None:
    assert wire.parse_error(b"\x01\x05arena \xff") == wire.Error(True, "runtime", "arena \\xff")
    assert wire.parse_error(b"\x00\x02") == wire.Error(False, "length", "")
    assert wire.parse_error(b"\x00\x63").code == "code 99"
    with pytest.raises(ValueError, match="ERROR of 1 bytes"):
        wire.parse_error(b"\x00")
