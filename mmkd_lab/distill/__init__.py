"""What a student learns from: arms, losses and methods, saliency and weights, teacher outputs by sample."""

from __future__ import annotations

from mmkd_lab.distill.answers import Answers, read_answers, simulate_answers, soft_label_logits
from mmkd_lab.distill.arms import ARMS, Arm, Strength, TeacherKind, Term, check_arms, register_arm
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.distillation import Distillation, labels_only
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.losses.ce import CrossEntropy, cross_entropy
from mmkd_lab.distill.losses.kd import KD, kd_divergence
from mmkd_lab.distill.losses.msd import Msd
from mmkd_lab.distill.losses.multi_teacher import mix_teachers, trust
from mmkd_lab.distill.method import HEAD, METHODS, Context, Method, Needs, Outputs, register_method
from mmkd_lab.distill.reliability import (
    UnreliableTeacher,
    calibration_error,
    gates,
    reliability,
    warn_unreliable,
)
from mmkd_lab.distill.saliency import needed_views, saliency
from mmkd_lab.distill.shift_fusion import ShiftFusion
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.distill.views import msd_views
from mmkd_lab.distill.weights import Weighting, effective_sample_size, weigh

__all__ = [
    "ARMS",
    "HEAD",
    "KD",
    "METHODS",
    "Answers",
    "Arm",
    "Context",
    "CrossEntropy",
    "Distance",
    "Distillation",
    "LearnedWeights",
    "Method",
    "Msd",
    "Needs",
    "Outputs",
    "ShiftFusion",
    "Strength",
    "TeacherKind",
    "TeacherOutputs",
    "Term",
    "UnreliableTeacher",
    "Weighting",
    "calibration_error",
    "check_arms",
    "cross_entropy",
    "effective_sample_size",
    "gates",
    "kd_divergence",
    "labels_only",
    "mix_teachers",
    "msd_views",
    "needed_views",
    "read_answers",
    "register_arm",
    "register_method",
    "reliability",
    "saliency",
    "simulate_answers",
    "soft_label_logits",
    "trust",
    "warn_unreliable",
    "weigh",
]
