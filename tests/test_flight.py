"""Bookkeeping of frames under way, without a line or a clock."""

from __future__ import annotations

from pipeline.flight import FIRST_SECONDS, LONGEST_SECONDS, Flight, Patience, Sent


def launched(flight: Flight, *seqs: int, now: float = 100.0) -> list[Sent]:
    frames = [Sent(seq, seq, b"frame", 0) for seq in seqs]
    for frame in frames:
        flight.launch(frame, now, 0)
    return frames


def test_patience_is_generous_until_something_was_measured() -> None:
    patience = Patience()
    assert patience.seconds(0, 1) == FIRST_SECONDS
    assert patience.seconds(8000, 1) == FIRST_SECONDS + 4  # 8 KB to go at 2 kB/s
    patience.learn(0.5)
    assert patience.seconds(0, 1) == 2.25
    assert patience.seconds(0, 2) == 4.5
    assert patience.seconds(0, 9) == 9.0


def test_patience_has_a_floor_and_a_ceiling() -> None:
    patience = Patience()
    patience.learn(0.001)
    assert patience.seconds(0, 1) == 1.0
    patience.learn(60.0)
    assert patience.seconds(0, 4) == LONGEST_SECONDS


def test_a_repeated_frame_teaches_no_round_trip() -> None:
    flight = Flight()
    (frame,) = launched(flight, 1)
    flight.launch(frame, 108.0, 0)
    flight.land(1, 108.1)
    assert flight.patience.seconds(0, 1) == FIRST_SECONDS


def test_frames_that_wait_their_turn_on_a_slow_line_are_not_overdue() -> None:
    """Sixteen of them, one answered every 0.9 s: the last is answered 14.4 s after it was sent."""
    flight = Flight()
    launched(flight, *range(16))
    for seq in range(16):
        now = 100.9 + 0.9 * seq
        assert flight.overdue(now, 0) is None
        flight.land(seq, now)


def test_a_frame_overtaken_by_a_later_answer_is_lost() -> None:
    flight = Flight()
    first, second, third = launched(flight, 1, 2, 3)
    flight.land(2, 100.1)
    assert flight.overtaken_by(second) == [first]
    flight.launch(first, 100.1, 0)
    flight.land(3, 100.2)
    assert flight.overtaken_by(third) == []


def test_the_answer_to_a_repeated_frame_overtakes_nobody() -> None:
    flight = Flight()
    first, second = launched(flight, 1, 2)
    flight.launch(first, 101.0, 0)
    flight.land(1, 101.1)
    assert flight.overtaken_by(first) == []
    assert flight.oldest() is second


def test_only_the_oldest_overdue_frame_goes_out_again() -> None:
    flight = Flight()
    first, second = launched(flight, 1, 2)
    assert flight.overdue(100.0 + FIRST_SECONDS - 0.1, 0) is None
    assert flight.overdue(100.0 + FIRST_SECONDS + 0.1, 0) is first
    assert second.deadline > 100.0 + FIRST_SECONDS + 0.1
