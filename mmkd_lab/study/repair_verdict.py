"""The outcome of a repair study in words, from paired intervals alone; see `verdict` for what counts."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mmkd_lab.distill import ARMS, REPAIRS
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.summary import difference, primary_metric
from mmkd_lab.study.repairs import ALONE, WITH_LABELS
from mmkd_lab.study.verdict import words

#: Removed in the authors' RAVDESS experiment; the verdict is about the ratio nearest to it.
HEADLINE = 0.75
_LABELS = {name: arm.label for name, arm in (ARMS | REPAIRS).items()}


def headline(table: pd.DataFrame) -> tuple[float, str]:
    """The removal ratio and the loss that the verdict is about."""
    ratios, losses = table["ratio"].unique().tolist(), table["loss"].unique().tolist()
    return min(ratios, key=lambda r: abs(r - HEADLINE)), WITH_LABELS if WITH_LABELS in losses else ALONE


def sentence(table: pd.DataFrame, *, student: str, teacher: str) -> str:
    """The verdict: modality-general KD against every other arm at the headline ratio, with intervals."""
    ratio, loss = headline(table)
    part = table[(table["ratio"] == ratio) & (table["loss"] == loss)].drop(columns=["ratio", "loss"])
    metric, n = primary_metric(part), part["seed"].nunique()
    students = list(dict.fromkeys(part[part["role"] == "student"]["arm"]))
    head = (
        f"On {part['dataset'].iloc[0]} ({teacher} teacher, {student} student, {ratio:.0%} of the channels "
        f"removed, {loss}, {n} paired seed{'s' if n > 1 else ''})"
    )
    if "mg_kd" not in students:
        return f"{head}, no modality-general teacher was asked for."
    said = [
        f"{words(found, 'is better than', 'is worse than')} {_LABELS[arm]} ({found.show(signed=True)})"
        for arm in students
        if arm != "mg_kd"
        for found in [difference(part, "mg_kd", arm, metric=metric)]
    ]
    return f"{head}, modality-general KD {', '.join(said)}; points of test {metric}."


def title(table: pd.DataFrame, *, student: str) -> str:
    """The finding in a few words: modality-general against regular KD, at the headline ratio."""
    ratio, loss = headline(table)
    part = table[(table["ratio"] == ratio) & (table["loss"] == loss)].drop(columns=["ratio", "loss"])
    students, lead = set(part["arm"]), f"{part['dataset'].iloc[0]}, {student} student"
    if not {"mg_kd", "cm_kd"} <= students or part["seed"].nunique() < 2:
        return f"{lead}: repaired teachers compared"
    found = difference(part, "mg_kd", "cm_kd", metric=primary_metric(part))
    says = words(found, "beats", "falls short of")
    return f"{lead}: modality-general KD {says} crossmodal KD at {ratio:.0%} removed"


def retold(found: Study) -> Study:
    """The same numbers with the words of today, for a study of repaired teachers that was saved earlier."""
    student, teacher = str(found.provenance["student"]), str(found.provenance["teacher"])
    return replace(
        found,
        title=title(found.table, student=student),
        verdict=sentence(found.table, student=student, teacher=teacher),
    )
