"""MATLAB's small files: as scipy reads them, and no damage goes further than a refusal."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.mat5 import numbers

RNG = np.random.default_rng(0)
HELD = {
    "trainNdxs": np.arange(1, 796, dtype=np.uint16)[:, None],
    "mapClass": RNG.integers(1, 41, (1, 894)).astype(np.uint8),
    "doubles": RNG.normal(size=(3, 2, 4)),
    "small": np.array([[300.0, 2.0]]),
    "one": np.array([[7]], dtype=np.int8),
}


@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_are_those_that_scipy_reads_and_anything_else_is_passed_over(tmp_path, compressed):
    file = tmp_path / "held.mat"
    others = {"words": "text", "cells": np.array(["a", 1], dtype=object), "fields": {"x": 1.0}}
    scipy.io.savemat(file, {**others, **HELD}, do_compression=compressed)
    found, theirs = numbers(file, tuple(HELD)), scipy.io.loadmat(file)
    for name in HELD:
        np.testing.assert_array_equal(found[name], theirs[name])


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_is_more_than_a_refusal(tmp_path, compressed):
    file = tmp_path / "held.mat"
    scipy.io.savemat(file, HELD, do_compression=compressed)
    whole, told = file.read_bytes(), list[str]()
    for _ in range(400):
        content = bytearray(whole)
        for at in RNG.integers(126, len(whole), 3):
            content[at] = RNG.integers(256)
        file.write_bytes(content[: RNG.integers(len(whole) // 2, len(whole) + 1)])
        try:
            numbers(file, tuple(HELD))
        except DamagedFile as error:
            told.append(str(error))
    assert len(told) > 200
    assert all(file.name in one for one in told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no such file"),
        (b"<html>" + bytes(200), "no such file"),
        (bytes(124) + b"\x00\x01IM", "no numbers called mapClass"),
        (bytes(124) + b"\x00\x01IM\x0e\x00\x00\x00\xff\xff\x00\x00", "truncated"),
    ],
)
def test_what_is_no_such_file(tmp_path, content, told):
    file = tmp_path / "odd.mat"
    file.write_bytes(content)
    with pytest.raises(DamagedFile, match=told):
        numbers(file, ("mapClass",))
