"""What is said of repaired teachers: modality-general KD against every other arm."""

from __future__ import annotations

import pandas as pd

from mmkd_lab.experiments.claims import Claim, called, claim, headline, sentence, unit_of
from mmkd_lab.experiments.config import ALONE, WITH_LABELS
from mmkd_lab.experiments.summary import primary_metric

#: Removed in the authors' RAVDESS experiment; the verdict is about the ratio nearest to it.
HEADLINE = 0.75


def at(table: pd.DataFrame) -> tuple[float, str]:
    """The removal ratio and the loss that the verdict is about."""
    ratios, losses = table["ratio"].unique().tolist(), table["loss"].unique().tolist()
    return min(ratios, key=lambda r: abs(r - HEADLINE)), WITH_LABELS if WITH_LABELS in losses else ALONE


def claims(table: pd.DataFrame, *, metric: str | None = None) -> list[Claim]:
    """Modality-general KD against every other arm at the ratio of the headline, under each loss."""
    ratio, _ = at(table)
    students = list(dict.fromkeys(table[table["role"] == "student"]["arm"]))
    if "mg_kd" not in students:
        return []
    several = len(set(table["loss"])) > 1
    return [
        claim(
            table,
            "mg_kd",
            arm,
            at={"ratio": ratio, "loss": loss},
            where=f"by {loss}" if several else "",
            metric=metric,
        )
        for loss in dict.fromkeys(table["loss"])
        for arm in students
        if arm != "mg_kd"
    ]


def verdict(table: pd.DataFrame, *, student: str, teacher: str, metric: str | None = None) -> str:
    """Modality-general KD against every other arm at the headline ratio, with intervals."""
    (ratio, loss), metric = at(table), metric or primary_metric(table)
    n, losses = table["seed"].nunique(), table["loss"].nunique()
    lead = (
        f"On {table['dataset'].iloc[0]} ({teacher} teacher, {student} student, {ratio:.0%} of the channels "
        f"removed{'' if losses > 1 else f', {loss}'}, {n} paired seed{'s' if n > 1 else ''}, test "
        f"{called(metric)})"
    )
    some = claims(table, metric=metric)
    return (
        sentence(lead, some, unit=unit_of(metric))
        if some
        else f"{lead}, no modality-general teacher was asked for."
    )


def title(table: pd.DataFrame, *, student: str, metric: str | None = None) -> str:
    """The largest shown effect of repair, at the headline ratio."""
    ratio, _ = at(table)
    return headline(
        f"{table['dataset'].iloc[0]}, {student} student, {ratio:.0%} removed",
        claims(table, metric=metric),
        otherwise="repaired teachers compared",
    )
