"""Tidy tables made up for the figures' tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

COLUMNS = ["study", "dataset", "arm", "role", "seed", "split", "metric", "value"]
STUDENTS = {"no_kd": 68.4, "um_kd": 70.1, "cm_kd": 69.3, "mm_kd": 69.7, "kl_only": 62.0}
TEACHERS = {"um_kd": 84.6, "cm_kd": 88.0, "mm_kd": 93.6, "kl_only": 88.0}
GAMMA = (0.0, 1 / 9, 0.25, 3 / 7, 2 / 3, 1.0)


def arms_table(
    arms: Sequence[str] = tuple(STUDENTS),
    *,
    seeds: int = 5,
    dataset: str = "av_digits",
    constant: float | None = None,
    teachers: bool = True,
) -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        shift = rng.normal(0, 1.2)
        for arm in arms:
            student = STUDENTS[arm] + shift + rng.normal(0, 0.5) if constant is None else constant
            rows.append(("failure_cases", dataset, arm, "student", seed, "test", "accuracy", student))
            if arm in TEACHERS and teachers:
                teacher = TEACHERS[arm] + rng.normal(0, 0.6) if constant is None else constant
                rows.append(("failure_cases", dataset, arm, "teacher", seed, "test", "accuracy", teacher))
    return pd.DataFrame(rows, columns=COLUMNS)


def sweep_table(
    arms: Sequence[str] = ("no_kd", "cm_kd"),
    *,
    seeds: int = 10,
    x: str = "gamma",
    points: Sequence[float] = GAMMA,
    constant: float | None = None,
) -> pd.DataFrame:
    rng, rows = np.random.default_rng(1), []
    for seed in range(seeds):
        shift = rng.normal(0, 4.5)
        for i, at in enumerate(points):
            teacher = 71.0 + i + rng.normal(0, 2) if constant is None else constant
            for n, arm in enumerate(arms):
                value = (
                    68.6 + shift + n * (i - 2) + rng.normal(0, 1) * (n > 0) if constant is None else constant
                )
                rows.append(("figure2", "gaussian", arm, "student", seed, "test", "accuracy", value, at))
                if n:
                    rows.append(
                        ("figure2", "gaussian", arm, "teacher", seed, "test", "accuracy", teacher, at)
                    )
    return pd.DataFrame(rows, columns=[*COLUMNS, x])
