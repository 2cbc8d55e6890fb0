"""Datasets by name: the lab's and yours through one door, with the parameters of what makes them."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.core.config import Count, config
from tests.data.test_paired import toy


@pytest.fixture
def mine():
    """A name that is forgotten afterwards."""
    yield "mine"
    data.DATASETS.forget("mine")


def made(
    n: Annotated[Count, Field(description="number of columns")] = 3, *, kind: Literal["x", "y"], extra=None
):
    """Samples of mine.

    And more of them.
    """
    return toy(name=f"mine {n} {kind} {extra}")


def test_a_function_becomes_a_dataset_with_its_keywords_as_parameters(mine):
    data.register(mine, made)
    assert data.load(mine, kind="y", n=np.int64(4), extra=made).name == f"mine 4 y {made}"
    entry = data.catalogue()[-1]
    assert (entry.name, entry.summary) == ("mine", "Samples of mine.")
    shown = [(one.name, one.default, one.help) for one in entry.parameters]
    assert shown == [("n", 3, "number of columns"), ("kind", None, ""), ("extra", None, "")]
    for given, expected in [
        ({"kind": "z"}, r"kind = 'z': must be one of 'x' or 'y'"),
        ({"kind": "x", "n": 0}, r"n = 0: must be at least 1"),
        ({}, r"kind = None: must be given"),
        ({"m": 3}, r"parameter of 'mine' = 'm': must be one of 'n', 'kind' or 'extra'"),
    ]:
        with pytest.raises(LabError, match=expected):
            data.load(mine, **given)
    data.register(mine, lambda **anything: toy(name=str(anything)))  # a cell that is run again
    assert data.load(mine, a=1).name == "{'a': 1}"
    data.register(mine, lambda: 3)
    with pytest.raises(LabError, match=r"dataset = 3: must be a PairedData, made by 'mine'"):
        data.load(mine)


def test_an_entry_says_more_and_may_have_a_typed_recipe(mine):
    @config
    class Recipe:
        n: Annotated[Count, Field(le=5, description="how many")] = 2

    entry = data.Entry("Mine.", lambda recipe: toy(name=f"n = {recipe.n}"), Recipe, licence="mine too")
    assert data.register(mine, entry).name == "mine"
    assert data.load(mine).name == "n = 2"
    with pytest.raises(LabError, match="n = 6: must be at most 5"):
        data.load(mine, n=6)
    assert data.where(mine) == data.get(mine) == []


@pytest.mark.parametrize("item", data.catalogue(), ids=lambda item: item.name)
def test_every_parameter_of_the_labs_own_is_explained_and_has_a_sound_default(item):
    found = item.recipe(**{one.name: one.default for one in item.parameters})
    assert found == item.recipe()
    assert all(one.help for one in item.parameters)
    assert callable(item.function())


def test_gaussian_loads_by_name():
    found = data.load("gaussian", n_train=60, shared=3)
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 60, "val": 200, "test": 1000}
    assert found.shapes == {"a": (25,), "b": (50,)}


def test_listing_and_looking_for_files_need_neither_torch_nor_numpy():
    code = (
        "import sys; from mmkd_lab import data; [one.parameters for one in data.catalogue()];"
        "data.where('av_mnist'); heavy = {'torch', 'numpy', 'scipy', 'pooch'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
