"""RUN frames under way: which window each carries, when it is overdue, which were overtaken; no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

TRIES = 8  # sends of one window before the run fails
FIRST_SECONDS = 8.0  # allowance before anything was measured
SLOWEST_LINE = 2000.0  # bytes a second that an emulated or 19200-baud line makes at least
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 20.0


@dataclass(frozen=True)
class Waits:
    """Seconds to wait: for the first answer, at least and at most for any other."""

    first: float = field(default_factory=lambda: FIRST_SECONDS)
    shortest: float = field(default_factory=lambda: SHORTEST_SECONDS)
    longest: float = field(default_factory=lambda: LONGEST_SECONDS)


@dataclass
class Sent:
    """One window under way: its frame, CRC-32 of its input, how often it was sent, its place among all sends."""

    index: int
    seq: int
    frame: bytes
    input_crc: int
    first_sent: float = 0.0
    deadline: float = 0.0
    order: int = 0
    tries: int = 0
    ends_at: int = 0  # bytes that must have left this machine for the frame to be on its way


class Patience:
    """How long to wait for an answer: generous at first, then four times the slowest that was lately seen."""

    def __init__(self, waits: Waits | None = None) -> None:
        self._waits = waits or Waits()
        self._slowest = 0.0

    def learn(self, seconds: float) -> None:
        """Take in the round trip of a frame that was sent once (of a repeated one, which send was answered?)."""
        self._slowest = max(seconds, 0.99 * self._slowest)

    def seconds(self, waiting_bytes: int, tries: int) -> float:
        """Seconds to allow with `waiting_bytes` still to be carried, longer with each try."""
        waits = self._waits
        first = waits.first + waiting_bytes / SLOWEST_LINE
        if not self._slowest:
            return first
        learned = max(waits.shortest, waits.shortest / 4 + 4 * self._slowest) * min(2.0 ** (tries - 1), 4.0)
        return min(learned, max(first, waits.longest))


@dataclass
class Flight:
    """The frames that were sent and not answered, by seq."""

    under_way: dict[int, Sent] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    sends: int = 0

    def __len__(self) -> int:
        return len(self.under_way)

    def launch(self, sent: Sent, now: float, waiting_bytes: int) -> None:
        """Note that a frame goes out, for the first time or again."""
        self.sends += 1
        sent.order, sent.tries = self.sends, sent.tries + 1
        sent.first_sent = sent.first_sent or now
        sent.deadline = now + self.patience.seconds(waiting_bytes, sent.tries)
        self.under_way[sent.seq] = sent

    def land(self, seq: int, now: float) -> None:
        """Note that a frame was answered: the line moves, so those behind it are given their time from now on."""
        sent = self.under_way.pop(seq)
        if sent.tries == 1:
            self.patience.learn(now - sent.first_sent)
        for other in self.under_way.values():
            other.deadline = max(other.deadline, now + self.patience.seconds(0, other.tries))

    def overtaken_by(self, sent: Sent) -> list[Sent]:
        """Frames sent before `sent` and unanswered though it was answered: devices answer in order, they are lost."""
        if sent.tries > 1:
            return []
        return [other for other in self.under_way.values() if other.order < sent.order]

    def in_order(self) -> list[Sent]:
        """All frames under way, the one whose last send is longest ago first."""
        return sorted(self.under_way.values(), key=lambda sent: sent.order)

    def oldest(self) -> Sent | None:
        """The frame whose last send is longest ago: most likely the one a damaged answer or a refusal was about."""
        return min(self.under_way.values(), key=lambda sent: sent.order, default=None)

    def next_deadline(self) -> float:
        """When to look again; there must be a frame under way."""
        return min(sent.deadline for sent in self.under_way.values())

    def overdue(self, now: float, waiting_bytes: int) -> Sent | None:
        """The oldest frame when any is past its deadline; the others are given more time, for it may hold them up."""
        if not self.under_way or self.next_deadline() > now:
            return None
        for sent in self.under_way.values():
            sent.deadline = max(sent.deadline, now + self.patience.seconds(waiting_bytes, sent.tries + 1))
        return self.oldest()
