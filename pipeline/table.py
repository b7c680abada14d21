"""TOML tables read strictly into dataclasses: the fields are the schema."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from contextlib import suppress
from typing import Any

from pipeline import files
from pipeline.problem import Problem, did_you_mean


def read_table(kind: type, table: Any, where: str, section: str, problems: list[Problem]) -> object:
    """A dataclass from a TOML table; what is wrong goes to `problems`, and then the result is of no use."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    prefix = f"[{section}] " if section else ""
    for key in (key for key in table if key not in fields):
        problems.append(Problem(where, f"{prefix}has no key {key}", did_you_mean(key, fields)))
    values = {}
    for key, field in fields.items():
        inner = f"{section}.{key}" if section else key
        if key in table:
            values[key] = _value(hints[key], table[key], where, inner, problems)
        elif field.default is dataclasses.MISSING:
            problems.append(Problem(where, f"{prefix}lacks {key}"))
    return None if problems else kind(**values)


def board_table(name: str) -> dict[str, Any]:
    """The table of boards/<name>.toml, laid over that of the board it says it is `like`."""
    where, known = f"boards/{files.check_board_name(name)}.toml", files.board_names()
    table = _table(name)
    base = table.pop("like", None)
    if base is None:
        return table
    if base not in known:
        raise Problem(where, f"like: there is no board {base}", did_you_mean(str(base), known))
    under = _table(base)
    if "like" in under:
        raise Problem(where, f"like: {base} is itself like {under['like']}", "name the board that is like no other")
    return _overlaid(under, table)


def roomy(key: str, needed: int) -> list[str]:
    """The boards in whose files `key` is so many bytes; a file that cannot be read is its own board's matter."""
    found = []
    for name in files.board_names():
        with suppress(Problem):
            there = board_table(name).get(key)
            found += [name] if isinstance(there, int) and there >= needed else []
    return found


def _table(name: str) -> dict[str, Any]:
    where = f"boards/{name}.toml"
    try:
        text = (files.project_root() / where).read_text(encoding="utf-8-sig")  # editors of Windows begin it with a BOM
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise Problem(where, f"is not UTF-8 (byte {error.start})", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise Problem(where, f"is not TOML: {error}") from error


def _overlaid(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`under` with what `over` says of it: tables key by key, everything else as a whole."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlaid(merged[key], value) if both else value
    return merged


def _value(hint: Any, value: Any, where: str, inner: str, problems: list[Problem]) -> object:
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]  # X | None
    if typing.get_origin(hint) is tuple:
        return _values(typing.get_args(hint)[0], value, where, inner, problems)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        assert isinstance(hint, type)
        return read_table(hint, value, where, inner, problems)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        problems.append(Problem(where, f"{inner} must be {_words(hint)}, not {value!r}"))
    return value


def _values(hint: Any, value: Any, where: str, inner: str, problems: list[Problem]) -> tuple[object, ...]:
    if not isinstance(value, list):
        problems.append(Problem(where, f"{inner} must be a list, not {value!r}"))
        return ()
    return tuple(_value(hint, each, where, inner, problems) for each in value)


def _words(hint: Any) -> str:
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, "a table")
