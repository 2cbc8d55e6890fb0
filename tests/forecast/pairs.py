"""A small pair for the tests of forecasts, and a small atlas of made-up rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmkd_lab.data import PairedData
from mmkd_lab.forecast.evidence import EVIDENCE


def pair(n: int = 120, *, classes: int = 3, seed: int = 0, wide: int = 6, group: bool = False) -> PairedData:
    """Latents that both see and that one sees decide; a third of the samples each for the splits."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((3 * n, 6))
    y = (z @ rng.standard_normal((6, classes))).argmax(1)
    a = np.column_stack([z[:, :4], rng.standard_normal((3 * n, 2))])
    b = np.column_stack([z[:, 2:], rng.standard_normal((3 * n, wide - 4))])
    where = {name: np.arange(i * n, (i + 1) * n) for i, name in enumerate(("train", "val", "test"))}
    names = tuple(f"class {i}" for i in range(classes))
    more = {"group": np.repeat(np.arange(3 * n // 10), 10)} if group else {}
    sides = {"a": a.astype(np.float32), "b": b.astype(np.float32)}
    return PairedData("small", sides, y, where, names, **more)


def rows(*, sets: int = 4, each: int = 12, seed: int = 0, noise: float = 0.5) -> pd.DataFrame:
    """An atlas in which the gain is twice the pilot, and the accuracy means nothing."""
    rng = np.random.default_rng(seed)
    n = sets * each
    found = pd.DataFrame({name: rng.standard_normal(n) for name in EVIDENCE})
    found["gain"] = 2.0 * found["pilot"] + noise * rng.standard_normal(n)
    found["low"], found["high"], found["seeds"] = found["gain"] - 0.8, found["gain"] + 0.8, 8.0
    about = {"setting": "", "teacher": "a", "student": "b", "samples": 100.0, "arm": "cm_kd"}
    return found.assign(set=np.repeat([f"set {i}" for i in range(sets)], each), **about)
