"""Configurations that check themselves, and functions called with checked keywords."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, replace
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.config import Count, Distinct, Fraction, NonNegative, Plain, Positive, call, config


@config
class Recipe:
    n: Annotated[Count, Field(le=9)] = 3
    rate: Positive = 0.1
    share: Fraction | None = None
    noise: NonNegative = 0.0
    size: Annotated[Literal[28, 112], Plain] = 28
    names: Annotated[tuple[Literal["theo", "lucas"], ...], Distinct, Field(min_length=1)] = ("theo",)

    def __post_init__(self) -> None:
        require(self.n * self.rate < 5, "n x rate", self.n * self.rate, "must be below 5", "Ask for less.")


def test_values_are_converted_kept_and_replaced() -> None:
    found = Recipe(n=np.int64(4), rate=1, size=np.int32(112), names=["lucas", "theo"])
    assert asdict(found) == {
        "n": 4,
        "rate": 1.0,
        "share": None,
        "noise": 0.0,
        "size": 112,
        "names": ("lucas", "theo"),
    }
    assert [type(value) for value in (found.n, found.rate, found.size)] == [int, float, int]
    assert replace(found, n=2) == Recipe(2, 1.0, size=112, names=("lucas", "theo"))
    with pytest.raises(FrozenInstanceError):
        found.n = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "argument", "expected"),
    [
        ({"n": 10}, "n", "must be at most 9"),
        ({"n": True}, "n", "must be a number"),
        ({"n": "3"}, "n", "must be a whole number"),
        ({"rate": float("inf")}, "rate", "must be a finite number"),
        ({"rate": 0}, "rate", "must be above 0"),
        ({"share": 1.5}, "share", "must be at most 1"),
        ({"size": 29}, "size", "must be one of 28 or 112"),
        ({"names": ["tho"]}, "names", r"must be one of 'theo' or 'lucas'. Did you mean 'theo'\?"),
        ({"names": ["theo", "theo"]}, "names", "must not name anything twice"),
        ({"names": "theo"}, "names", "must be a list"),
        ({"m": 3}, "m", "is no field of Recipe: 'n', 'rate'"),
        ({"n": 9, "rate": 1.0}, "n x rate", "must be below 5. Ask for less"),
        ({"n": 0, "rate": -1.0}, "n", r"must be at least 1. Also: rate = -1.0: must be above 0"),
    ],
)
def test_every_fault_is_told_by_name(given: dict[str, object], argument: str, expected: str) -> None:
    with pytest.raises(LabError, match=expected) as caught:
        Recipe(**given)  # type: ignore[arg-type]
    assert caught.value.argument == argument


def test_keywords_of_a_function_are_checked_where_its_annotations_can_be_read() -> None:
    def scale(n: Count = 1, *, by: float) -> float:
        return n * by

    def unread(n: Unknown = 1) -> object:  # noqa: F821
        return n

    assert call(scale, {"n": 2, "by": 1.5}) == 3.0
    assert call(unread, {"n": "any"}) == "any"
    for given, expected in [
        ({}, "by = None: must be given"),
        ({"n": 0, "by": 1.0}, "n = 0: must be at least 1"),
    ]:
        with pytest.raises(LabError, match=expected):
            call(scale, given)
