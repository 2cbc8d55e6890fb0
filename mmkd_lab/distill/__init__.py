"""What a student learns from: arms, losses and methods, saliency and weights, teacher outputs by sample."""

from __future__ import annotations

from mmkd_lab.distill.arms import ARMS, MSD_ARMS, REPAIRS, Arm, arms
from mmkd_lab.distill.cache import TeacherCache
from mmkd_lab.distill.calibration import calibration_error
from mmkd_lab.distill.dist import Dist
from mmkd_lab.distill.distances import DISTANCES, Distance
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.dkd import DKD
from mmkd_lab.distill.gram import ModalityGram
from mmkd_lab.distill.hints import Hints
from mmkd_lab.distill.kd import CONVENTIONS, kd_divergence
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.distill.msd import Msd, msd_views
from mmkd_lab.distill.multi_teacher import mix_teachers, soft_label_logits, trust
from mmkd_lab.distill.objective import Objective, cross_entropy
from mmkd_lab.distill.relations import RKD, SimilarityPreserving
from mmkd_lab.distill.reliability import UnreliableTeacher, gates, reliability, warn_unreliable
from mmkd_lab.distill.saliency import CREDITS, DELTAS, needed_views, saliency
from mmkd_lab.distill.shift_fusion import ShiftFusion
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.distill.telme import Telme
from mmkd_lab.distill.weights import Weighting, controlled, effective_sample_size, weigh

__all__ = [
    "ARMS",
    "CONVENTIONS",
    "CREDITS",
    "DELTAS",
    "DISTANCES",
    "DKD",
    "MSD_ARMS",
    "REPAIRS",
    "RKD",
    "Arm",
    "Dist",
    "Distance",
    "Distillation",
    "Hints",
    "LearnedWeights",
    "Method",
    "ModalityGram",
    "Msd",
    "Needs",
    "Objective",
    "Outputs",
    "ShiftFusion",
    "SimilarityPreserving",
    "TeacherCache",
    "TeacherViews",
    "Telme",
    "UnreliableTeacher",
    "Weighting",
    "arms",
    "calibration_error",
    "controlled",
    "cross_entropy",
    "effective_sample_size",
    "gates",
    "kd_divergence",
    "mix_teachers",
    "msd_views",
    "needed_views",
    "reliability",
    "saliency",
    "soft_label_logits",
    "trust",
    "warn_unreliable",
    "weigh",
]
