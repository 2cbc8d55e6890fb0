"""One way to refuse a wrong argument: name it, show its value, state the rule, tell the way out."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar, overload

T = TypeVar("T")

#: What the system says of a file that is not what it should be; its other refusals are none of the file's.
_OF_THE_FILE = (errno.ENOENT, errno.EISDIR, errno.EINVAL, errno.ENXIO)
#: What the content of a file is made of once it is read: asking one of these for what it lacks is no slip of
#: a reader's author, as a name that is nowhere would be.
_CONTENT = (bytes, dict, float, int, list, str, type(None))
_LONGEST_VALUE, _MOST_ITEMS, _LARGEST_WHOLE = 80, 1_000_000, 2**63 - 1


class LabError(ValueError):
    """A wrong argument. The message reads `name = value: rule. Way out.`"""

    def __init__(self, argument: str, value: object, rule: str, way_out: str = "") -> None:
        self.argument, self.value, self.rule, self.way_out = argument, value, rule, way_out
        ending = f" {_sentence(way_out)}" if way_out else ""
        super().__init__(f"{argument} = {_show(value)}: {_sentence(rule)}{ending}")

    def __reduce__(self) -> tuple[type[LabError], tuple[str, str, str, str]]:
        return type(self), (self.argument, _Shown(_show(self.value)), self.rule, self.way_out)

    def told(self) -> list[str]:
        """Its kind and its words, to be written down; `told_before` makes the refusal again."""
        return [type(self).__name__, self.argument, _show(self.value), self.rule, self.way_out]


class DamagedFile(LabError):
    """A file that is missing, truncated or not what it should be. `argument` is its path."""


class UnreadableFile(LabError):
    """A file that may be sound, but cannot be read by this user or on this machine as it is."""


def told_before(told: Sequence[str]) -> LabError:
    """The refusal that was written down by `LabError.told`."""
    kind, argument, shown, rule, way_out = told
    made = {one.__name__: one for one in (LabError, DamagedFile, UnreadableFile)}
    return made[kind](argument, _Shown(shown), rule, way_out)


@contextmanager
def reading(name: Path | str, rule: str, way_out: str = "") -> Iterator[None]:
    """What goes wrong inside is a fault of the file: readers of other people's formats raise many kinds, some
    of which have no common base, so that no list of them is ever whole.

    Raises `DamagedFile` with the rule and the way out, but `UnreadableFile` where the machine has no memory
    left or does not let this user read: that says nothing of the file, and nobody should replace it. What no
    content can cause, an unknown name, a broken assertion or a module without an attribute, is a fault of
    the reader and passes as it is. A TypeError may be either, and is named.
    """
    try:
        yield
    except (DamagedFile, UnreadableFile):
        raise
    except Exception as error:
        if _of_the_reader(error):
            raise
        not_its_own = isinstance(error, (MemoryError, ImportError))
        number = getattr(error, "errno", None)  # FFmpeg's own numbers are none of the system's
        if not_its_own or (number in errno.errorcode and number not in _OF_THE_FILE):
            why = getattr(error, "strerror", None) or str(error) or "not enough memory"
            use = "It may be sound: have it made readable for you, or use a copy of your own"
            raise UnreadableFile(str(name), why, "cannot be read", use) from error
        raise DamagedFile(str(name), _told(error), rule, way_out) from error


def _of_the_reader(error: Exception) -> bool:
    if isinstance(error, AttributeError):
        return not isinstance(error.obj, _CONTENT)
    return isinstance(error, (NameError, AssertionError))


def _told(error: Exception) -> str:
    """What an error says of a file; its kind too where the words alone say little."""
    if isinstance(error, EOFError):
        return "truncated"
    kind, text = type(error).__name__, getattr(error, "strerror", None) or str(error)
    if isinstance(error, (TypeError, AttributeError, LookupError)):
        return f"{kind}: {text}"
    return text or kind


@contextmanager
def writing(argument: str, place: Path | str, *, kind: str = "folder") -> Iterator[None]:
    """What the system refuses inside, a disk that is full say, is told of the place that `argument` names.

    Raises `LabError`.
    """
    try:
        yield
    except OSError as error:
        named = [Path(os.fsdecode(error.filename))] if isinstance(error.filename, (str, bytes)) else []
        inside = [place for one in named for place in (one, *one.parents) if place.is_dir()][:1]
        where = f", in {inside[0]}" if inside and inside[0] != Path(place) else ""
        why = f"{error.strerror or error}{where}"
        use = f"Make room, have its owner let you write, or name another {kind}"
        raise LabError(argument, str(place), f"must be a {kind} that can be written: {why}", use) from error


def require(ok: bool, argument: str, value: object, rule: str, way_out: str = "") -> None:
    """Raise `LabError` unless `ok`."""
    if not ok:
        raise LabError(argument, value, rule, way_out)


def one_of(argument: str, value: object, options: Iterable[object]) -> None:
    """Raise `LabError` unless `value` is one of `options`; a near miss is suggested."""
    known = list(options)
    if any(_equals(option, value) for option in known):
        return
    near = did_you_mean(_repr(value).strip("'"), [str(option) for option in known])
    raise LabError(argument, value, f"must be one of {listing(known)}", near)


def did_you_mean(value: str, options: Sequence[str]) -> str:
    """A way out for a name that is nearly one of `options`; '' when it is not."""
    near = get_close_matches(value, options, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


@overload
def of_type(argument: str, value: object, kind: type[T], what: str, way_out: str = "") -> T: ...


@overload
def of_type(argument: str, value: object, kind: tuple[type, ...], what: str, way_out: str = "") -> Any: ...  # noqa: ANN401 - one of several kinds has no one type


def of_type(
    argument: str, value: object, kind: type | tuple[type, ...], what: str, way_out: str = ""
) -> object:
    """Return `value`, or raise `LabError` unless it is an instance of `kind`; `what` names the kind."""
    if not isinstance(value, kind):
        raise LabError(argument, value, f"must be {what}", way_out)
    return value


def flat(argument: str, value: object, what: str, way_out: str = "") -> list[object]:
    """The items of what has an order and an end, at most a million. Raises `LabError` for anything else."""
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping, Set)):
        raise LabError(argument, value, f"must be {what}", way_out)
    try:
        found = list(islice(value, _MOST_ITEMS + 1))
    except TypeError as error:  # an array without axes calls itself iterable
        raise LabError(argument, value, f"must be {what}", way_out) from error
    require(len(found) <= _MOST_ITEMS, argument, value, f"must hold at most {_MOST_ITEMS:,} items")
    return found


def mapping(argument: str, value: object, what: str) -> Mapping[Any, Any]:
    """Return `value`, or raise `LabError` unless it is a mapping; `what` says of what to what."""
    found: Mapping[Any, Any] = of_type(argument, value, (Mapping,), what)
    return found


def whole(argument: str, value: object, *, at_least: int = 1) -> int:
    """Return `value` as an int, or raise `LabError` unless it is a whole number of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise LabError(argument, value, f"must be a whole number of at least {at_least}")
    require(value <= _LARGEST_WHOLE, argument, value, "must be below 2**63, the most that 64 bits hold")
    return int(value)


def position(argument: str, value: object, count: int, *, of: str) -> int:
    """Return `value` as an int, or raise `LabError` unless it is a whole number from 0 to `count` - 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < count:
        raise LabError(argument, value, f"must be {of}, 0 to {count - 1}")
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
    bounds = [f"above {above:g}"] if above is not None else []
    bounds += [f"at least {at_least:g}"] if at_least > -math.inf else []
    bounds += [f"at most {at_most:g}"] if at_most < math.inf else []
    number = math.nan
    if not isinstance(value, bool) and isinstance(value, Real):
        with suppress(OverflowError):
            number = float(value)
    inside = at_least <= number <= at_most and (above is None or number > above)
    rule = f"must be a finite number {' and '.join(bounds)}".strip()
    require(inside and math.isfinite(number), argument, value, rule)
    return number


def seeds(argument: str, value: object) -> tuple[int, ...]:
    """Return distinct non-negative whole seeds as a tuple, or raise `LabError`."""
    listed = flat(argument, value, "a sequence of whole numbers", "For example seeds=range(5).")
    found = tuple(whole(argument, seed, at_least=0) for seed in listed)
    require(len(found) > 0, argument, value, "must name at least one seed", "For example seeds=range(5).")
    require(len(set(found)) == len(found), argument, value, "must not name a seed twice")
    return found


def path(argument: str, value: object) -> Path:
    """Return `value` as a `Path` with `~` expanded, or raise `LabError` when it can be no path at all."""
    given: str | Path = of_type(argument, value, (str, Path), "a path, as text or a Path")
    require(str(given) != "", argument, value, "must be a path, not empty text")
    try:
        found = Path(given).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            found.lstat()
    except (OSError, ValueError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise LabError(argument, str(given), f"must be a path that can be looked up: {why}") from error
    return found


def listing(options: Sequence[object]) -> str:
    """`'a', 'b' or 'c'`, for error messages."""
    shown = [repr(option) for option in options]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" or {shown[-1]}" if shown else "(none)"


def _show(value: object) -> str:
    text = value if isinstance(value, _Shown) else " ".join(_repr(value).split("\n"))
    half = _LONGEST_VALUE // 2  # the end of a path tells more than its middle
    return text if len(text) <= _LONGEST_VALUE else f"{text[: half - 1]}…{text[-half:]}"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python refuses to write out a whole number of thousands of digits
        return f"<{type(value).__name__} too long to show>"


def _equals(option: object, value: object) -> bool:
    """Equality that an array, a table or a tensor cannot upset: other kinds of things are never equal."""
    kind = str if isinstance(option, str) else Integral if isinstance(option, int) else type(option)
    return isinstance(value, kind) and bool(value == option)


class _Shown(str):
    """A value already turned into text (an error that crossed a process boundary)."""

    __slots__ = ()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."
