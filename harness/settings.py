# SPDX-License-Identifier: MIT
"""TOML files into dataclasses, with errors that name the file, the key and what was expected."""

from __future__ import annotations

import dataclasses
import os
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import HarnessError

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. HarnessError names the file and the line of a mistake."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HarnessError(f"{path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: {error}", hint="correct the file and run this again") from None


def build(cls: type[T], table: dict[str, Any], origin: str) -> T:
    """An instance of dataclass `cls` from a TOML table; `origin` (file, section) goes into errors."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    keys = {name.replace("-", "_"): name for name in table}
    for key, spelled in keys.items():
        if key not in fields:
            raise HarnessError(f"{origin}: unknown key {spelled!r}", hint=f"valid keys: {', '.join(fields)}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in keys:
            values[name] = _convert(hints[name], table[keys[name]], f"{origin}: {keys[name]}")
        elif _optional(hints[name]) and field.default is dataclasses.MISSING:
            values[name] = None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise HarnessError(f"{origin}: key {name!r} is missing")
    return cls(**values)


def _optional(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)


def _convert(hint: Any, value: Any, origin: str) -> Any:
    if _optional(hint):
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return build(typing.cast(type, hint), value, origin)
    elif typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        if isinstance(value, list):
            return tuple(_convert(element, item, f"{origin}[{n}]") for n, item in enumerate(value))
    elif typing.get_origin(hint) is dict:
        element = typing.get_args(hint)[1]
        if isinstance(value, dict):
            return {key: _convert(element, item, f"{origin}.{key}") for key, item in value.items()}
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise HarnessError(f"{origin}: {value!r} is a {type(value).__name__}, expected {wanted}")


def offline() -> bool:
    """True if nothing may be fetched: `--offline`, or ESP_HOSTED_OFFLINE=1 in the environment."""
    return os.environ.get("ESP_HOSTED_OFFLINE", "") not in ("", "0")


def set_offline() -> None:
    """From now on, here and in everything started from here, nothing is fetched."""
    os.environ["ESP_HOSTED_OFFLINE"] = "1"
