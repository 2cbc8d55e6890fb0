"""Parts that are known by name: methods, arms, rankings, metrics, figures, datasets. One door for all.

The lab's own parts register themselves as a user's do, with a decorator or a call, from any file or notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Generic, TypeVar, overload

from mmkd_lab.core.check import one_of, require

T = TypeVar("T")

_PACKAGE = __name__.partition(".")[0]


class Registry(Mapping[str, T], Generic[T]):
    """Named parts of one kind, in the order in which they were registered.

    `kind` is what error messages call a part; `home` are the modules that register the lab's own, imported at
    the first look-up. A name of the lab cannot be taken by anybody else; yours may be registered again.
    """

    def __init__(self, kind: str, *, home: Sequence[str] = ()) -> None:
        self.kind, self._home = kind, list(home)
        self._parts: dict[str, T] = {}
        self._own: set[str] = set()

    @overload
    def register(self, name: str) -> Callable[[T], T]: ...

    @overload
    def register(self, name: str, value: T) -> T: ...

    def register(self, name: str, value: T | None = None) -> T | Callable[[T], T]:
        """Register `value` under a name; without one, a decorator that does so.

        Raises `LabError` for a name that is no text, or that belongs to the lab.
        """
        if value is None:
            return lambda found: self.register(name, found)
        rule = "must be a name: text of at least one character"
        require(isinstance(name, str) and name.strip() == name != "", self.kind, name, rule)
        ours = _module_of(value).partition(".")[0] == _PACKAGE
        if not ours:
            self._load()
        free = name not in self._own or (ours and _module_of(self._parts[name]) == _module_of(value))
        way_out = "Register yours under another name."
        require(free, self.kind, name, "is a name of the lab's own", way_out)
        if ours:
            self._own.add(name)
        self._parts[name] = value
        return value

    def forget(self, name: str) -> None:
        """Remove a part of yours. Raises `LabError` for one of the lab's, or an unknown name."""
        self[name]
        require(name not in self._own, self.kind, name, "is one of the lab's own and stays")
        del self._parts[name]

    def __getitem__(self, name: str) -> T:
        """The part of this name. Raises `LabError`, listing the known ones, for any other."""
        self._load()
        one_of(self.kind, name, list(self._parts))
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(list(self._parts))

    def __len__(self) -> int:
        self._load()
        return len(self._parts)

    def __repr__(self) -> str:
        return f"{len(self)} registered: {', '.join(self)}"

    def _load(self) -> None:
        while self._home:
            import_module(self._home.pop(0))


def _module_of(value: object) -> str:
    """Where a part was defined: a class or function says so itself, an instance may carry it as `origin`."""
    return str(getattr(value, "origin", None) or getattr(value, "__module__", "") or "")
