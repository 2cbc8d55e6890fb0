"""A short name for everything that determines a result."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import CodeType

import numpy as np
import numpy.typing as npt


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: the same values give the same text (1 and 1.0 are not the same).

    Accepts what JSON does, dataclasses, enums, tuples, sets, ranges and numpy scalars. Raises `TypeError` on
    anything else and on two keys of one text (1 and "1"), `ValueError` on NaN, infinity and endless nesting.
    """
    try:
        return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except RecursionError as error:
        raise ValueError("nested too deep, or holds itself") from error


def digest(value: object, *, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of `canonical(value)`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def digest_arrays(arrays: Iterable[tuple[str, npt.NDArray[np.generic]]], *, length: int = 16) -> str:
    """SHA-256 over the names, types, shapes and bytes of arrays, in the order given."""
    total = hashlib.sha256()
    for name, array in arrays:
        total.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()[:length]


def source_text(value: object) -> str:
    """What a class or a function of somebody's says: its source, or its bytecode where it has no file, as
    when it was typed at a prompt; of any other object that of its class, what a partial one fixes beside."""
    if isinstance(value, partial):
        return f"{source_text(value.func)}{value.args}{value.keywords}"
    if inspect.ismethod(value):
        return source_text(value.__func__)
    if not isinstance(value, type) and not inspect.isroutine(value):
        value = type(value)
    try:
        found = inspect.getsource(value)
    except (OSError, TypeError):
        found = ""
    # Python 3.13 takes a class's line for one of its module's file, wherever the class was made.
    if found and (not isinstance(value, type) or f"class {value.__name__}" in found):
        return found
    if inspect.isfunction(value):
        return repr(_bytecode(value.__code__))
    named = vars(value).values() if isinstance(value, type) else ()
    members = [one for one in (getattr(one, "fget", one) for one in named) if inspect.isfunction(one)]
    return f"{value.__module__}.{value.__qualname__}{''.join(map(source_text, members))}"


def _bytecode(code: CodeType) -> tuple[object, ...]:
    inner = [_bytecode(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    return code.co_code, inner, code.co_names


#: The floors whose code decides what a network learns and says.
_COMPUTING = ("core", "data", "models", "distill", "training", "attribution", "experiments")


@cache
def code_digest() -> str:
    """16 hex digits that change with the code of the floors that compute, comments and all."""
    root, total = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for floor in _COMPUTING:
        for path in sorted((root / floor).rglob("*.py")):
            total.update(path.relative_to(root).as_posix().encode())
            total.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return total.hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        named = {str(key): _plain(item) for key, item in value.items()}
        if len(named) < len(value):
            raise TypeError(f"two keys of one text among {list(value)}")
        return named
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=lambda item: (str(item), json.dumps(item)))
    if isinstance(value, (list, tuple, range)):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no stable text; give plain values, dataclasses or enums")
