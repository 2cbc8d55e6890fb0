"""What a student learns from: arms, the KD divergence, the objective, and teacher outputs by sample index."""

from __future__ import annotations

from mmkd_lab.distill.arms import ARMS, MSD_ARMS, REPAIRS, Arm, arms
from mmkd_lab.distill.cache import TeacherCache
from mmkd_lab.distill.kd import CONVENTIONS, kd_divergence
from mmkd_lab.distill.objective import Objective, cross_entropy

__all__ = [
    "ARMS",
    "CONVENTIONS",
    "MSD_ARMS",
    "REPAIRS",
    "Arm",
    "Objective",
    "TeacherCache",
    "arms",
    "cross_entropy",
    "kd_divergence",
]
