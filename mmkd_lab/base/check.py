"""One way to refuse a wrong argument: name it, show its value, state the rule, tell the way out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real

_LONGEST_VALUE = 80


class LabError(ValueError):
    """A wrong argument. The message reads `name = value: rule. Way out.`"""

    def __init__(self, argument: str, value: object, rule: str, way_out: str = "") -> None:
        self.argument, self.value, self.rule, self.way_out = argument, value, rule, way_out
        ending = f" {_sentence(way_out)}" if way_out else ""
        super().__init__(f"{argument} = {_show(value)}: {_sentence(rule)}{ending}")

    def __reduce__(self) -> tuple[type[LabError], tuple[str, str, str, str]]:
        return type(self), (self.argument, _Shown(_show(self.value)), self.rule, self.way_out)


class DamagedFile(LabError):
    """A file that is missing, truncated or not what it should be. `argument` is its path."""


def require(ok: bool, argument: str, value: object, rule: str, way_out: str = "") -> None:
    """Raise `LabError` unless `ok`."""
    if not ok:
        raise LabError(argument, value, rule, way_out)


def one_of(argument: str, value: object, options: Iterable[object]) -> None:
    """Raise `LabError` unless `value` is one of `options`; a near miss is suggested."""
    known = list(options)
    if value in known:
        return
    near = get_close_matches(str(value), [str(option) for option in known], n=1)
    raise LabError(
        argument, value, f"must be one of {listing(known)}", f"Did you mean {near[0]!r}?" if near else ""
    )


def whole(argument: str, value: object, *, at_least: int = 1) -> int:
    """Return `value` as an int, or raise `LabError` unless it is a whole number of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise LabError(argument, value, f"must be a whole number of at least {at_least}")
    return int(value)


def real(
    argument: str,
    value: object,
    *,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    above: float | None = None,
) -> float:
    """Return `value` as a float, or raise `LabError` unless it is finite and within the bounds."""
    rule = "must be a finite number" + _bounds(at_least, at_most, above)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise LabError(argument, value, rule)
    number = float(value)
    if number < at_least or number > at_most or (above is not None and number <= above):
        raise LabError(argument, value, rule)
    return number


def seeds(argument: str, value: object) -> tuple[int, ...]:
    """Return distinct non-negative whole seeds as a tuple, or raise `LabError`."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise LabError(argument, value, "must be a sequence of whole numbers", "For example seeds=range(5).")
    found = tuple(whole(argument, seed, at_least=0) for seed in value)
    require(len(found) > 0, argument, value, "must name at least one seed", "For example seeds=range(5).")
    require(len(set(found)) == len(found), argument, value, "must not name a seed twice")
    return found


def listing(options: Sequence[object]) -> str:
    """`'a', 'b' or 'c'`, for error messages."""
    shown = [repr(option) for option in options]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" or {shown[-1]}" if shown else "(none)"


def _bounds(at_least: float, at_most: float, above: float | None) -> str:
    parts = []
    if above is not None:
        parts.append(f"above {above:g}")
    if at_least > -math.inf:
        parts.append(f"at least {at_least:g}")
    if at_most < math.inf:
        parts.append(f"at most {at_most:g}")
    return " " + " and ".join(parts) if parts else ""


def _show(value: object) -> str:
    text = value if isinstance(value, _Shown) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


class _Shown(str):
    """A value already turned into text (an error that crossed a process boundary)."""

    __slots__ = ()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."
