"""Configurations that check themselves: frozen, typed dataclasses; every fault is told in the lab's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from re import findall
from typing import Annotated, Any, TypeVar, dataclass_transform

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from mmkd_lab.core.check import LabError, listing

C = TypeVar("C", bound=type)

_CONFIG = ConfigDict(arbitrary_types_allowed=True, extra="forbid", allow_inf_nan=False)


def _plain_number(value: object) -> object:
    """Numpy's numbers are numbers; truth values and text are none."""
    if isinstance(value, (bool, np.bool_, str)):
        raise ValueError("must be a number")
    return value.item() if isinstance(value, np.generic) else value


_NUMBER = BeforeValidator(_plain_number)
#: Whole numbers of at least 1, and of at least 0.
Count = Annotated[int, _NUMBER, Field(ge=1, lt=2**63, strict=True)]
Natural = Annotated[int, _NUMBER, Field(ge=0, lt=2**63, strict=True)]
#: Finite numbers: any, above 0, at least 0, from 0 to 1.
Real = Annotated[float, _NUMBER]
Positive = Annotated[float, _NUMBER, Field(gt=0)]
NonNegative = Annotated[float, _NUMBER, Field(ge=0)]
Fraction = Annotated[float, _NUMBER, Field(ge=0, le=1)]
#: True or False, and nothing that merely passes for one of them.
Flag = Annotated[bool, Field(strict=True)]

#: pydantic's wording, and the lab's.
_WORDING = {
    "Input should be": "must be",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
    "a valid integer": "a whole number",
    "a valid boolean": "True or False",
    "a valid string": "text",
    "a valid tuple": "a sequence",
}


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def config(cls: C) -> C:
    """A frozen dataclass whose fields are checked and converted by their types.

    A wrong value raises one `LabError` that names every field at fault, its value, the rule and, for an
    unknown field, the known ones. `__post_init__` may add rules that concern several fields.
    """
    made: Any = pydantic_dataclass(frozen=True, config=_CONFIG)(cls)
    checked: Callable[..., None] = made.__init__

    @wraps(checked)
    def init(self: object, *args: object, **kwargs: object) -> None:
        try:
            checked(self, *args, **kwargs)
        except ValidationError as error:
            raise told(error, made) from None

    made.__init__ = init
    return made  # type: ignore[no-any-return]


def told(error: ValidationError, cls: type) -> LabError:
    """What pydantic found, as the lab says it: the first fault in full, the others after it."""
    found: dict[str, tuple[str, object, str, str]] = {}
    for one in error.errors():
        fault = _fault(one, cls)
        field = fault[0].partition(".")[0]
        # A field that takes several kinds of value is at fault once for each: the deepest one tells most.
        if field not in found or fault[0].count(".") > found[field][0].count("."):
            found[field] = fault
    (name, value, rule, way_out), *rest = found.values()
    more = "; ".join(f"{name} = {value!r}: {rule}" for name, value, rule, _ in rest)
    return LabError(name, value, rule, f"Also: {more}" if more else way_out)


def _fault(one: Any, cls: type) -> tuple[str, object, str, str]:  # noqa: ANN401 - pydantic's own TypedDict
    path = [str(part) for part in one["loc"] if not str(part)[:1].isupper() and "[" not in str(part)]
    if path and path[0].isdigit():  # given by position
        path[0] = fields(cls)[int(path[0])].name
    name = ".".join(path[:1] + [part for part in path[1:] if part.isdigit()]) or cls.__name__
    kind, context = one["type"], one.get("ctx", {})
    if kind in ("unexpected_keyword_argument", "dataclass_exact_type", "no_such_attribute"):
        known = [field.name for field in fields(cls)]
        return name, one["input"], f"is no field of {cls.__name__}: {listing(known)}", _near(name, known)
    if kind == "missing" or kind == "missing_argument":
        return name, None, "must be given", ""
    if kind == "literal_error":
        expected = str(context["expected"])
        hint = _near(str(one["input"]), findall(r"'([^']*)'", expected))
        return name, one["input"], f"must be one of {expected}", hint
    if kind == "value_error":
        inner = context["error"]
        if isinstance(inner, LabError):
            return inner.argument, inner.value, inner.rule, inner.way_out
        return name, one["input"], str(inner), ""
    if kind == "is_instance_of":
        return name, type(one["input"]).__name__, f"must be a {context['class']}", ""
    rule = str(one["msg"]).partition(", unable to")[0]
    for theirs, ours in _WORDING.items():
        rule = rule.replace(theirs, ours)
    return name, one["input"], rule[0].lower() + rule[1:], ""


def _near(value: str, options: list[str]) -> str:
    near = get_close_matches(value, options, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
