"""Pickles of arrays, texts and plain containers, read without running what else a pickle can hold.

A pickle is a program. Here it may call what numpy's arrays are rebuilt with and what makes lists, sets and
dictionaries, each of them a stand-in of ours that checks what it is given: numpy's own believe what a pickle
says of an array's memory. Anything else is refused by its name, before it is imported.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.atomic import write_bytes
from mmkd_lab.core.check import DamagedFile, reading

_KIND = re.compile(r"[<>=|]?(b1|[iuf][1248]|[SU]\d+|O8?)")
_RULE = "must be a pickle of numbers, texts and plain containers"
_REFUSED = "must hold numbers, texts and plain containers alone: anything else in a pickle can run code"
_WAY_OUT = "Fetch it again from its publisher; of a sound file of another kind make arrays (.npy) yourself."


def loads(path: Path) -> Any:  # noqa: ANN401 - what was pickled
    """What a pickle holds; texts of Python 2 are read as Latin-1, as all of its readers do.

    Raises `DamagedFile`, which names what it would call, or where it is truncated.
    """
    with reading(path, _RULE, _WAY_OUT), path.open("rb") as file:
        return _plain(_Allowed(path, file).load())


def object_array(path: Path) -> Any:  # noqa: ANN401 - what was pickled
    """What a .npy file of one object holds, as `np.save` writes a dictionary. Raises as `loads`."""
    with reading(path, _RULE, _WAY_OUT), path.open("rb") as file:
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise ValueError(f"a .npy file of version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape or not dtype.hasobject:
            raise ValueError(f"an array of {dtype} {shape}, and not one object")
        return _plain(_Allowed(path, file).load()).item()


def torch_file(path: Path) -> Any:  # noqa: ANN401 - what was saved
    """What `torch.save` wrote, tensors and plain containers alone. Raises `DamagedFile`."""
    import torch

    with reading(path, _REFUSED, _WAY_OUT):
        return torch.load(path, map_location="cpu", weights_only=True)


def torch_arrays(path: Path) -> Any:  # noqa: ANN401 - what was saved
    """What `torch.save` wrote of numpy's arrays and plain containers, which `torch.load` itself does not read
    without running what else may be there; of tensors, as `torch_file`. Raises `DamagedFile`."""
    with reading(path, _RULE, _WAY_OUT), zipfile.ZipFile(path) as archive:
        names = [one for one in archive.namelist() if one.count("/") == 1 and one.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("no one pickle in it")
        if not any("/data/" in one for one in archive.namelist()):
            with archive.open(names[0]) as file:
                return _plain(_Allowed(path, file).load())
    return torch_file(path)


def write(path: Path, value: object, *, protocol: int = 4) -> None:
    """Pickle plain data, as publishers do, for fixtures."""
    write_bytes(path, pickle.dumps(value, protocol=protocol))


def save_object(path: Path, value: object) -> None:
    """Plain data as the one object of a .npy file, as publishers do, for fixtures."""
    held = np.empty((), dtype=object)
    held[()] = value
    np.save(path, held, allow_pickle=True)


class _Allowed(pickle.Unpickler):
    def __init__(self, path: Path, file: Any) -> None:  # noqa: ANN401 - a binary file
        super().__init__(file, encoding="latin1")
        self._path = str(path)

    def load(self) -> Any:  # noqa: ANN401 - what was pickled
        try:
            return super().load()
        except AttributeError as error:  # a damaged pickle adds to a set what is none
            raise pickle.UnpicklingError(str(error)) from error

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - what the pickle may call
        if (found := _NAMES.get((module, name))) is None:
            raise DamagedFile(self._path, f"{module}.{name}", _REFUSED, _WAY_OUT)
        return found


class _Call:
    """A function whose attributes a pickle cannot set, as it could those of a plain one."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *given: Any) -> Any:  # noqa: ANN401 - as the function
        return self._function(*given)

    def __setstate__(self, state: object) -> None:
        raise ValueError("a state for what has none")


class _Kind:
    """A type of numbers or texts; of what a pickle adds to it, only the order of bytes is believed."""

    __slots__ = ("dtype",)

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _KIND.fullmatch(code):
            raise ValueError(f"an array of {code!r}")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(one is not None for one in state[2:5]):
            raise ValueError("an array of records")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that looks at its shape, its type and the length of its content before it takes them."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, fortran, content = state[-4:]
        sides, dtype = _sound(shape, kind, content)
        super().__setstate__((1, sides, dtype, bool(fortran), _bytes(content)))  # type: ignore[arg-type]


def _sound(shape: Any, kind: Any, content: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:  # noqa: ANN401 - as pickled
    whole = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
    if not whole or not isinstance(kind, _Kind):
        raise ValueError(f"an array of shape {shape!r}")
    listed = kind.dtype.hasobject
    count = prod(shape) * (1 if listed else kind.dtype.itemsize)
    if isinstance(content, list) != listed or len(content) != count:
        raise ValueError(f"an array of shape {shape} with {len(content):,} items in place of {count:,}")
    return shape, kind.dtype


def _bytes(content: Any) -> Any:  # noqa: ANN401 - a list of objects stays one
    return content.encode("latin1") if isinstance(content, str) else content


def _scalar(kind: _Kind, content: object) -> Any:  # noqa: ANN401 - numpy's number
    shape, dtype = _sound((1,), kind, [content] if kind.dtype.hasobject else content)
    return content if dtype.hasobject else np.frombuffer(_bytes(content), dtype).reshape(shape)[0]


def _from_buffer(content: Any, kind: _Kind, shape: Any, order: str) -> npt.NDArray[Any]:  # noqa: ANN401 - as pickled
    sides, dtype = _sound(shape, kind, content)
    return np.frombuffer(content, dtype).reshape(sides, order="F" if order == "F" else "C")


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _nothing(*given: object) -> bytes:
    if given:
        raise ValueError("bytes of a given length")
    return b""


def _plain(value: Any) -> Any:  # noqa: ANN401 - the same
    """The same, with numpy's own arrays, which may go to other processes."""
    if isinstance(value, _Array):
        value = value.view(np.ndarray)
        if value.dtype.hasobject:
            value.reshape(-1)[:] = [_plain(one) for one in value.reshape(-1)]
        return value
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    kind = type(value)
    return kind(map(_plain, value)) if kind in (list, tuple) else value


_PLAIN = {one.__name__: one for one in (set, frozenset, list, dict, tuple)}
_NUMPY = ("numpy.core", "numpy._core")
_NAMES: dict[tuple[str, str], Any] = {
    **{(home, name): one for home in ("builtins", "__builtin__") for name, one in _PLAIN.items()},
    **{(home, "bytes"): _Call(_nothing) for home in ("builtins", "__builtin__")},
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): _Call(_encoded),
    ("numpy", "dtype"): _Call(_Kind),
    ("numpy", "ndarray"): _Call(lambda *_: _Array(0)),
    **{(f"{home}.multiarray", "_reconstruct"): _Call(lambda *_: _Array(0)) for home in _NUMPY},
    **{(f"{home}.multiarray", "scalar"): _Call(_scalar) for home in _NUMPY},
    **{(f"{home}.numeric", "_frombuffer"): _Call(_from_buffer) for home in _NUMPY},
}


@dataclass(frozen=True)
class PickledRow:
    """Reads one item of a pickle: the key is its file and the steps into it, such as (path, 0, '3_1').

    It comes as float32; with `clean`, NaN and infinite numbers are 0.
    """

    clean: bool = False

    def __call__(self, key: tuple[Any, ...]) -> npt.NDArray[np.float32]:
        """Read it. Raises `DamagedFile` that names the steps."""
        path, *steps = key
        found = held(Path(path))
        with reading(f"{path}: {steps}", "must be numbers"):
            for step in steps:
                found = found[step]
            numbers = np.asarray(found, dtype=np.float32)
        return np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0) if self.clean else numbers


def held(path: Path) -> Any:  # noqa: ANN401 - what was pickled
    """As `loads`, remembered while the file stays as it is. Nobody may change what it gives."""
    with reading(path, _RULE, _WAY_OUT):
        about = path.stat()
    return _held(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=2)
def _held(path: Path, _size: int, _time: int) -> Any:  # noqa: ANN401 - what was pickled
    return loads(path)
