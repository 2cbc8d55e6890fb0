"""The declared types of a notebook's parameters: read from an annotation, they admit values and read text."""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_NONE = ("none", "null")


class Mismatch(ValueError):
    """A value that is not of the declared type. Its text completes the sentence `must be ...`."""


class Declared(ABC):
    """A type a parameter was declared with."""

    @abstractmethod
    def admit(self, value: object) -> object:
        """The value, in the declared type. Raises `Mismatch`."""

    @abstractmethod
    def read(self, text: str) -> object:
        """The value that this text of a command line stands for. Raises `Mismatch`."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Whole(Declared):
    """`int`; True and 1.0 are not whole numbers."""

    def admit(self, value: object) -> int:
        """See `Declared.admit`."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise Mismatch("a whole number")
        return int(value)

    def read(self, text: str) -> int:
        """See `Declared.read`."""
        try:
            return int(text)
        except ValueError as error:
            raise Mismatch("a whole number") from error

    def __str__(self) -> str:
        return "int"


@dataclass(frozen=True)
class Real(Declared):
    """`float`, finite; a whole number is widened."""

    def admit(self, value: object) -> float:
        """See `Declared.admit`."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Mismatch("a finite number")
        try:
            number = float(value)
        except OverflowError as error:
            raise Mismatch("a finite number") from error
        if not math.isfinite(number):
            raise Mismatch("a finite number")
        return number

    def read(self, text: str) -> float:
        """See `Declared.read`."""
        try:
            return self.admit(float(text))
        except ValueError as error:
            raise Mismatch("a finite number") from error

    def __str__(self) -> str:
        return "float"


@dataclass(frozen=True)
class Truth(Declared):
    """`bool`: true or false, yes or no, on or off, 1 or 0 in text."""

    def admit(self, value: object) -> bool:
        """See `Declared.admit`."""
        if not isinstance(value, bool):
            raise Mismatch("true or false")
        return value

    def read(self, text: str) -> bool:
        """See `Declared.read`."""
        word = text.strip().lower()
        if word not in _TRUE + _FALSE:
            raise Mismatch("true or false")
        return word in _TRUE

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True)
class Text(Declared):
    """`str`, taken as it stands."""

    def admit(self, value: object) -> str:
        """See `Declared.admit`."""
        if not isinstance(value, str):
            raise Mismatch("text")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Mismatch("text that UTF-8 can hold") from error
        return value

    def read(self, text: str) -> str:
        """See `Declared.read`."""
        return self.admit(text)

    def __str__(self) -> str:
        return "str"


@dataclass(frozen=True)
class Nothing(Declared):
    """`None`."""

    def admit(self, value: object) -> None:
        """See `Declared.admit`."""
        if value is not None:
            raise Mismatch("None")

    def read(self, text: str) -> None:
        """See `Declared.read`."""
        if text.strip().lower() not in _NONE:
            raise Mismatch("None")

    def __str__(self) -> str:
        return "None"


@dataclass(frozen=True)
class Choice(Declared):
    """`Literal[...]`: one of these values."""

    options: tuple[str | int | bool, ...]

    def admit(self, value: object) -> object:
        """See `Declared.admit`."""
        for option in self.options:
            if type(option) is type(value) and option == value:
                return option
        raise Mismatch(f"one of {', '.join(map(repr, self.options))}")

    def read(self, text: str) -> object:
        """See `Declared.read`."""
        for option in self.options:
            if str(option) == text.strip():
                return option
        raise Mismatch(f"one of {', '.join(map(str, self.options))}")

    def __str__(self) -> str:
        return f"Literal[{', '.join(map(repr, self.options))}]"


@dataclass(frozen=True)
class Either(Declared):
    """`X | Y`: the first member that admits the value; text is tried last, since it admits anything."""

    members: tuple[Declared, ...]

    def admit(self, value: object) -> object:
        """See `Declared.admit`."""
        return self._first(lambda member: member.admit(value))

    def read(self, text: str) -> object:
        """See `Declared.read`."""
        return self._first(lambda member: member.read(text))

    def _first(self, attempt: Callable[[Declared], object]) -> object:
        expected = []
        for member in sorted(self.members, key=lambda member: isinstance(member, Text)):
            try:
                return attempt(member)
            except Mismatch as mismatch:
                expected.append(str(mismatch))
        raise Mismatch(" or ".join(dict.fromkeys(expected)))

    def __str__(self) -> str:
        return " | ".join(map(str, self.members))


@dataclass(frozen=True)
class Many(Declared):
    """`list[X]` or `tuple[X, ...]`: any number of items of one type. In text `1,2,3` or `[1, 2, 3]`."""

    item: Declared
    container: Callable[[Iterable[object]], object] = list

    def admit(self, value: object) -> object:
        """See `Declared.admit`."""
        if not isinstance(value, (list, tuple)):
            raise Mismatch("a list such as [1, 2, 3]")
        return self.container(_item(number, self.item.admit, one) for number, one in enumerate(value))

    def read(self, text: str) -> object:
        """See `Declared.read`."""
        if (written := _literal(text, self)) is not None:
            return written
        return self.container(_item(number, self.item.read, word) for number, word in enumerate(_words(text)))

    def __str__(self) -> str:
        return f"list[{self.item}]" if self.container is list else f"tuple[{self.item}, ...]"


@dataclass(frozen=True)
class Row(Declared):
    """`tuple[X, Y]`: so many items, each of its own type. In text `1,2` or `(1, 2)`."""

    items: tuple[Declared, ...]

    def admit(self, value: object) -> object:
        """See `Declared.admit`."""
        if not isinstance(value, (list, tuple)) or len(value) != len(self.items):
            raise Mismatch(f"{len(self.items)} items")
        pairs = enumerate(zip(self.items, value, strict=True))
        return tuple(_item(number, kind.admit, one) for number, (kind, one) in pairs)

    def read(self, text: str) -> object:
        """See `Declared.read`."""
        if (written := _literal(text, self)) is not None:
            return written
        words = _words(text)
        if len(words) != len(self.items):
            raise Mismatch(f"{len(self.items)} items")
        pairs = enumerate(zip(self.items, words, strict=True))
        return tuple(_item(number, kind.read, word) for number, (kind, word) in pairs)

    def __str__(self) -> str:
        return f"tuple[{', '.join(map(str, self.items))}]"


def declared(annotation: ast.expr) -> Declared:
    """The type that an annotation declares. Raises `Mismatch` for one that a parameter cannot have."""
    match annotation:
        case ast.Name(id="int"):
            return Whole()
        case ast.Name(id="float"):
            return Real()
        case ast.Name(id="bool"):
            return Truth()
        case ast.Name(id="str"):
            return Text()
        case ast.Constant(value=None):
            return Nothing()
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Either(tuple(member for side in (left, right) for member in _members(declared(side))))
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return Many(declared(item))
        case ast.Subscript(
            value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[item, ast.Constant(value=end)])
        ) if end is Ellipsis:
            return Many(declared(item), tuple)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=items)):
            return Row(tuple(declared(item) for item in items))
        case ast.Subscript(value=ast.Name(id="tuple"), slice=item):
            return Row((declared(item),))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=options):
            return Choice(_options(options))
    raise Mismatch("int, float, bool, str, None, X | Y, list[X], tuple[X, ...], tuple[X, Y] or Literal[...]")


def _members(kind: Declared) -> tuple[Declared, ...]:
    return kind.members if isinstance(kind, Either) else (kind,)


def _options(options: ast.expr) -> tuple[str | int | bool, ...]:
    listed = options.elts if isinstance(options, ast.Tuple) else [options]
    values = [item.value for item in listed if isinstance(item, ast.Constant)]
    plain = tuple(value for value in values if isinstance(value, (str, int)))
    if len(plain) != len(listed):
        raise Mismatch("Literal[...] of text, whole numbers or True and False")
    return plain


def _item(number: int, take: Callable[..., object], one: object) -> object:
    try:
        return take(one)
    except Mismatch as mismatch:
        raise Mismatch(f"a sequence whose item {number + 1} ({one!r}) is {mismatch}") from mismatch


def _literal(text: str, kind: Declared) -> object:
    """What `text` says when it is written as Python writes it; None when it is not of this type."""
    try:
        return kind.admit(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _words(text: str) -> list[str]:
    """`a, b` and `[a, b]` as their words."""
    inner = text.strip()
    if inner[:1] + inner[-1:] in ("[]", "()"):
        inner = inner[1:-1]
    words = [word.strip().strip("'\"") for word in inner.split(",")]
    return words[:-1] if words[-1] == "" else words
