"""Configurations that check themselves: frozen, typed dataclasses that tell their faults in the lab's words.

Imports no numpy, so that what is declared with it can be listed at no cost.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, validate_call
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from mmkd_lab.core.check import LabError, did_you_mean, listing

_RULES = {
    "int_type": "must be a whole number",
    "float_type": "must be a finite number",
    "bool_type": "must be True or False",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "too_short": "must name at least {min_length}",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be above {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be below {lt:g}",
}

C = TypeVar("C", bound=type)
R = TypeVar("R")

_CALL = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
_CONFIG = ConfigDict(**_CALL, extra="forbid")


def plain(value: object) -> object:
    """A number or truth value of numpy as Python's own; anything else as it is."""
    kind = type(value)
    return value.item() if kind.__module__ == "numpy" and kind.__name__ != "ndarray" else value  # type: ignore[attr-defined]


def _number(value: object) -> object:
    """Numpy's numbers are numbers; truth values are none."""
    found = plain(value)
    if isinstance(found, bool):
        raise ValueError("must be a number")
    return found


def _distinct(value: tuple[R, ...]) -> tuple[R, ...]:
    if len(set(value)) < len(value):
        raise ValueError("must not name anything twice")
    return value


_NUMBER = BeforeValidator(_number)
#: Whole numbers of at least 1, and of at least 0.
Count = Annotated[int, _NUMBER, Field(ge=1, lt=2**63, strict=True)]
Natural = Annotated[int, _NUMBER, Field(ge=0, lt=2**63, strict=True)]
#: Finite numbers: any, above 0, at least 0, from 0 to 1.
Real = Annotated[float, _NUMBER, Field(strict=True)]
Positive = Annotated[float, _NUMBER, Field(gt=0, strict=True)]
NonNegative = Annotated[float, _NUMBER, Field(ge=0, strict=True)]
Fraction = Annotated[float, _NUMBER, Field(ge=0, le=1, strict=True)]
#: True or False, Python's or numpy's, and nothing that merely passes for one of them.
Flag = Annotated[bool, BeforeValidator(plain), Field(strict=True)]
#: Beside the type of a tuple: nothing in it twice.
Distinct = AfterValidator(_distinct)
#: Beside a Literal: a choice by numpy's number or text is one, too.
Plain = BeforeValidator(plain)


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def config(cls: C) -> C:
    """A frozen dataclass whose fields are checked and converted by their types.

    A wrong value raises one `LabError` that names every field at fault, its value, the rule and, for an
    unknown field, the known ones. `__post_init__` may add rules that concern several fields.
    """
    made: Any = pydantic_dataclass(frozen=True, config=_CONFIG)(cls)
    checked: Callable[..., None] = made.__init__

    @wraps(checked)
    def initialise(self: object, *args: object, **kwargs: object) -> None:
        try:
            checked(self, *args, **kwargs)
        except ValidationError as error:
            raise told(error, made.__name__, [field.name for field in fields(made)]) from None

    made.__init__ = initialise
    return made  # type: ignore[no-any-return]


def call(function: Callable[..., R], given: Mapping[str, object]) -> R:
    """Call a function with keywords that are checked and converted by its annotations, as `config` does.

    A function whose annotations cannot be read is called as it is.
    """
    try:
        checked = validate_call(config=_CALL)(function)
    except (PydanticUndefinedAnnotation, PydanticUserError, NameError):
        checked = function
    try:
        return checked(**given)
    except ValidationError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise told(error, name, list(inspect.signature(function).parameters)) from None


def told(error: ValidationError, owner: str, known: Sequence[str]) -> LabError:
    """What pydantic found, as the lab says it: the first fault in full, the others after it."""
    found: dict[str, tuple[str, object, str, str]] = {}
    told_by: dict[str, tuple[int, bool]] = {}
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else owner
        # A field that takes several kinds of value is at fault once for each: the deepest one tells most,
        # and of two that are as deep the one that lists options.
        tells = (len(_inner(one)), one["type"] == "literal_error")
        if name not in found or tells > told_by[name]:
            found[name], told_by[name] = _fault(one, owner, known), tells
    (name, value, rule, way_out), *rest = found.values()
    more = "; ".join(f"{name} = {value!r}: {rule}" for name, value, rule, _ in rest)
    return LabError(name, value, rule, f"Also: {more}" if more else way_out)


def _inner(one: Any) -> list[str]:  # noqa: ANN401 - pydantic's own TypedDict
    """The nested fields of a fault; pydantic also puts the kinds of value that a field takes on the path."""
    parts = [part for part in map(str, one["loc"][1:]) if part.isidentifier() and part[0].islower()]
    return [part for part in parts if not hasattr(builtins, part)]


def _fault(one: Any, owner: str, known: Sequence[str]) -> tuple[str, object, str, str]:  # noqa: ANN401 - pydantic's own TypedDict
    first = one["loc"][0] if one["loc"] else owner
    name = known[first] if isinstance(first, int) and first < len(known) else str(first)  # given by position
    inner = _inner(one)
    name = ".".join([name, *inner])
    kind, context, value = one["type"], one.get("ctx", {}), one["input"]
    if inner and kind == "unexpected_keyword_argument":
        return name, value, f"is no field of {name.rpartition('.')[0]}", ""
    if kind in ("unexpected_keyword_argument", "dataclass_exact_type", "no_such_attribute"):
        return name, value, f"is no field of {owner}: {listing(known)}", did_you_mean(name, known)
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return name, None, "must be given", ""
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        return name, value, f"must be one of {context['expected']}", did_you_mean(str(value), options)
    if kind == "value_error":
        said = context["error"]
        if isinstance(said, LabError):
            return said.argument, said.value, said.rule, said.way_out
        return name, value, str(said), ""
    if kind == "is_instance_of":
        return name, type(value).__name__, f"must be a {context['class']}", ""
    if kind in _RULES:
        return name, value, _RULES[kind].format(**context), ""
    rule = str(one["msg"]).replace("Input should be", "must be").partition(", unable to parse")[0]
    return name, value, rule[0].lower() + rule[1:], ""
