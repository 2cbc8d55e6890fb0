"""The declared types of a notebook's parameters: read from an annotation, they admit values and read text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, TypeAdapter, ValidationError

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
    **dict.fromkeys(("none", "null"), None),
}


class Mismatch(ValueError):
    """A value that is not of the declared type. Its text completes the sentence `must be ...`."""


def _number(value: object) -> object:
    """Numpy's numbers are numbers, truth values are none, and 1.0 is not whole."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _utf8(text: str) -> str:
    text.encode()  # or UnicodeEncodeError, a ValueError
    return text


_NUMBER = BeforeValidator(_number)
_TYPES: dict[str, Any] = {
    "int": Annotated[int, _NUMBER, Field(strict=True)],
    "float": Annotated[float, _NUMBER, Field(strict=True, allow_inf_nan=False)],
    "bool": StrictBool,
    "str": Annotated[str, Field(strict=True), AfterValidator(_utf8)],
    "list": list,
    "tuple": tuple,
    "Literal": Literal,
    "__builtins__": {},
}
_SYNTAX = (ast.Name, ast.Constant, ast.Subscript, ast.Tuple, ast.BinOp, ast.BitOr, ast.Load)
#: What pydantic calls a fault -> how the sentence `must be ...` ends.
_RULES = {
    "int": "a whole number",
    "float": "a finite number",
    "finite": "a finite number",
    "bool": "true or false",
    "none": "None",
    "list": "a list such as [1, 2, 3]",
    "tuple": "a list such as [1, 2, 3]",
}


@dataclass(frozen=True)
class Declared:
    """A type a parameter was declared with.

    One of int, float, bool, str and None, or made of them: `X | Y`, `list[X]`, `tuple[X, ...]`,
    `tuple[X, Y]`, `Literal[...]`.
    """

    text: str
    adapter: TypeAdapter[Any]

    def admit(self, value: object) -> object:
        """The value, in the declared type; a whole number is widened to float. Raises `Mismatch`."""
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            rule = _rule(error)
            raise Mismatch(f"{rule} or None" if self.text.endswith("| None") else rule) from None
        except (RecursionError, OverflowError) as error:
            raise Mismatch(f"a value that can be read: {error}") from error

    def read(self, text: str) -> object:
        """The value that this text of a command line stands for. Raises `Mismatch`.

        Lists are written `1,2,3` or `[1, 2, 3]`; true, yes, on, 1 and false, no, off, 0 are truth values.
        """
        for candidate in self._readings(text):
            with suppress(Mismatch):
                return self.admit(candidate)
        return self.admit([_literal(word) for word in _words(text)] if self.several else text)

    @property
    def several(self) -> bool:
        """Whether a value may be a list or a tuple."""
        return "list[" in self.text or "tuple[" in self.text

    def _readings(self, text: str) -> Iterator[object]:
        """What the text may mean, the likeliest first. Text itself is last, since `str` admits anything."""
        written = _literal(text)
        if not isinstance(written, str):
            yield written
        if text.strip().lower() in _WORDS:
            yield _WORDS[text.strip().lower()]
        yield text
        yield text.strip()
        if self.several:
            yield from [] if isinstance(written, str) else [[written]]
            yield _words(text)

    def __str__(self) -> str:
        return self.text


def declared(annotation: ast.expr) -> Declared:
    """The type that an annotation declares. Raises `Mismatch` for one that a parameter cannot have."""
    rule = "int, float, bool, str, None, X | Y, list[X], tuple[X, ...], tuple[X, Y] or Literal[...]"
    text = ast.unparse(annotation)
    if text in ("list", "tuple", "Literal") or not _plain(annotation):
        raise Mismatch(f"Literal[...] of text or numbers, or {rule}" if "Literal" in text else rule)
    try:
        kind = eval(compile(ast.Expression(annotation), "annotation", "eval"), _TYPES)
        return Declared(text, TypeAdapter(kind))
    except Exception as error:  # pydantic has many words for what is no type
        raise Mismatch(rule) from error


def _plain(annotation: ast.expr) -> bool:
    """Whether there is nothing in it but types; text is code to Python's typing, except within Literal."""
    nodes = list(ast.walk(annotation))
    literals = [
        node.slice for node in nodes if isinstance(node, ast.Subscript) and _named(node.value, "Literal")
    ]
    quoted = {id(node) for one in literals for node in ast.walk(one) if isinstance(node, ast.Constant)}
    return all(
        isinstance(node, _SYNTAX)
        and (not isinstance(node, ast.Name) or node.id in _TYPES)
        and (not isinstance(node, ast.Constant) or node.value in (None, ...) or id(node) in quoted)
        for node in nodes
    )


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _rule(error: ValidationError) -> str:
    """All that the value may be, as the end of a sentence."""
    faults = error.errors(include_url=False)
    deepest = max(sum(isinstance(part, int) for part in one["loc"]) for one in faults)
    rules = dict.fromkeys(
        _told(one) for one in faults if sum(isinstance(p, int) for p in one["loc"]) == deepest
    )
    return " or ".join(rules)


def _told(fault: Any) -> str:  # noqa: ANN401 - pydantic's own TypedDict
    kind, context = str(fault["type"]), fault.get("ctx", {})
    rule = _RULES.get(kind.partition("_")[0], "text" if kind == "string_type" else "text that UTF-8 can hold")
    if kind == "literal_error":
        rule = f"one of {context['expected']}"
    elif kind == "missing":
        return f"at least {fault['loc'][-1] + 1} items"
    elif kind == "too_long":
        return f"at most {context['max_length']} items"
    places = [part for part in fault["loc"] if isinstance(part, int)]
    return f"a sequence whose item {places[-1] + 1} ({fault['input']!r}) is {rule}" if places else rule


def _literal(text: str) -> object:
    """What the text says when it is written as Python writes it; else the text."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text


def _words(text: str) -> list[str]:
    """`a, b` and `[a, b]` as their words."""
    inner = text.strip()
    if inner[:1] + inner[-1:] in ("[]", "()"):
        inner = inner[1:-1]
    words = [word.strip().strip("'\"") for word in inner.split(",")]
    return words[:-1] if words[-1] == "" else words
