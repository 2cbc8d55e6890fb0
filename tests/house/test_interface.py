"""The shape of what is public: documented, and with few positional arguments."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from mmkd_lab import FLOORS
from tests.house import tree

_MOST_POSITIONAL = 3
#: A sentence of four words: fit these networks on this data for this objective by this recipe.
_EXCEPTIONS = {"fit": 4}
_LONGEST_FILE = 330


def _public():
    """(floor.name, object) of everything a floor exports, and of the methods of its classes."""
    for floor in FLOORS:
        module = import_module(f"mmkd_lab.{floor}")
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            yield f"{floor}.{name}", value
            if inspect.isclass(value) and value.__module__.startswith("mmkd_lab"):
                for inner, method in vars(value).items():
                    function = getattr(method, "__func__", method)
                    if inspect.isfunction(function) and not inner.startswith("_"):
                        yield f"{floor}.{name}.{inner}", function


def _positional(function) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [one.name for one in inspect.signature(function).parameters.values() if one.kind in kinds]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


PUBLIC = dict(_public())
FUNCTIONS = [name for name, value in PUBLIC.items() if inspect.isfunction(value)]
OWN = [name for name, value in PUBLIC.items() if getattr(value, "__module__", "").startswith("mmkd_lab")]


def test_every_floor_but_core_exports_something():
    assert {name.split(".")[0] for name in PUBLIC} == set(FLOORS) - {"core"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_take_few_positional_arguments(name):
    most = _EXCEPTIONS.get(name.split(".")[-1], _MOST_POSITIONAL)
    assert len(_positional(PUBLIC[name])) <= most, _positional(PUBLIC[name])


@pytest.mark.parametrize("name", OWN)
def test_every_public_name_is_documented(name):
    assert (
        len(vars(PUBLIC[name])["__doc__"] if inspect.isclass(PUBLIC[name]) else PUBLIC[name].__doc__ or "")
        > 10
    )


@pytest.mark.parametrize("path", tree.modules(), ids=tree.name_of)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= _LONGEST_FILE


def test_four_positional_arguments_are_seen():
    def four(a, b, c, d=1, *, e=2):
        return a, b, c, d, e

    assert _positional(four) == ["a", "b", "c", "d"]
