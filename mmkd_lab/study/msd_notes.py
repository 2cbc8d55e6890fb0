"""What a reader must know of a comparison beside its numbers, as sentences for provenance."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mmkd_lab.data.task import META
from mmkd_lab.study.msd_losses import LEARNED
from mmkd_lab.study.msd_setting import TUNING, MsdSetting
from mmkd_lab.study.msd_tuning import Tried, at_the_end


def notes(setting: MsdSetting, table: pd.DataFrame, seen: Sequence[Tried]) -> list[str]:
    """How samples, strengths, steps and intervals came about; only what holds of this comparison."""
    students = table[(table["role"] == "student") & (table["split"] == "test")]
    arms, views = students["arm"].nunique(), students["view"].nunique()
    said = [_samples(setting)]
    if arms > 1:
        said.append(
            f"{arms - 1} arms are compared with KD under {views} views: {views * (arms - 1)} intervals of "
            "95 %, not corrected for their number."
        )
    if setting.tune:
        said.append(
            "Every method's strength was tuned for the full input: the best of five by the mean validation "
            f"score of {len(TUNING)} seeds that are not compared. The same split selects the epoch. What is "
            "best for the full input need not be best with a modality missing."
        )
    edge = at_the_end(seen)
    if edge:
        named = ", ".join(f"{name} {value:g}" for name, value in edge.items())
        said.append(f"Chosen from an end of the candidates, so that a better value may lie beyond: {named}.")
    if {"kd_views", "msd_uniform"} <= set(setting.names):
        said.append(
            "KD on all views has the views and weights of MSD uniform; its target differs, and its strength "
            "is its own, chosen in the same way."
        )
    if "pruned" in setting.names:
        said.append(
            "The pruned teacher takes twice the steps of every other arm (search, then training) and starts "
            "from the trained teacher's weights."
        )
    if setting.removal == "permutation":
        said.append("A teacher's word on a view is its mean over several draws; a student sees one draw.")
    return said


def _samples(setting: MsdSetting) -> str:
    data = setting.data
    train, meta = (len(data.positions(split)) for split in ("train", META))
    whole = ", whole groups of them," if data.group is not None else ""
    said = f"Every arm trains on {train} samples; {meta} more were set aside{whole}"
    if set(LEARNED) & set(setting.names):
        return f"{said} for learning weights, and their labels are seen by the learned arms alone."
    return f"{said.removesuffix(',')} and are not used."
