"""Sizes that kernels keep in 16 bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.ops.base import Field

SHORT = 2**15 - 1  # the largest
SHORT_FIELDS = frozenset(
    """
    a b batches channels columns condition depth dilation groups input inner inputs kept kernel length memory multiples
    outer output outputs pad plane pool rank reduced rows shape size steps stride tiles turned units
    """.split()  # noqa: SIM905
)


def short_sizes(fields: Mapping[str, Field]) -> Iterator[int]:
    """The sizes among a call's fields that its kernel keeps in 16 bits."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from short_sizes(value)
        elif name in SHORT_FIELDS and isinstance(value, int | tuple):
            yield from value if isinstance(value, tuple) else (value,)
