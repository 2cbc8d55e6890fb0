"""Samples that come from one subject (a speaker, a patient) are not independent: they are resampled together.

An interval that takes them as independent is too narrow by the square root of the design effect 1 + (m - 1)
rho, m samples a subject with correlation rho (Kish 1965, section 5.4).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require
from mmkd_lab.shares.discrete import Codes

#: With fewer subjects than this nothing can be said of their spread.
LEAST = 3


def subject_codes(subjects: npt.ArrayLike | None, n: int) -> Codes | None:
    """(n,) subject numbers from 0, or None when every sample stands for itself.

    Raises `LabError` for a column of another length, or fewer than three subjects.
    """
    if subjects is None:
        return None
    names = np.asarray(subjects)
    require(names.shape == (n,), "subjects", names.shape, f"must name one subject per sample, ({n},)")
    found, codes = np.unique(names, return_inverse=True)
    shown = f"{len(found)} subject{'s' if len(found) > 1 else ''}"
    rule = f"must be at least {LEAST} for an interval over subjects"
    require(len(found) >= LEAST, "subjects", shown, rule, "Give subjects=None to resample samples.")
    return codes.reshape(-1).astype(np.intp)


def settled(codes: Codes | None, target: Codes) -> Codes | None:
    """(S,) the label of each subject where all its samples have one label; None where some do not.

    A test that shuffles single samples is then too sure: a column that merely tells subjects apart seems to
    tell the label.
    """
    if codes is None:
        return None
    _, first = np.unique(codes, return_index=True)
    labels = target[first]
    return labels if bool((labels[codes] == target).all()) else None


def too_sure(codes: Codes | None, target: Codes) -> tuple[str, ...]:
    """The note of a method whose tests take samples as independent where labels belong to subjects."""
    if settled(codes, target) is None:
        return ()
    return ("All samples of a subject have one label: tests that take samples as independent are too sure.",)


def members(codes: Codes | None, n: int) -> list[Codes]:
    """The samples of each unit that is resampled: of each subject, or each sample by itself."""
    if codes is None:
        return list(np.arange(n)[:, None])
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])
