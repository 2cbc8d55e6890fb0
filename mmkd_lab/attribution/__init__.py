"""Attribution: by modality, within a modality, and by channel (MFH's Algorithm 1)."""

from __future__ import annotations

from mmkd_lab.attribution.alignment import (
    Aligned,
    Alignment,
    Joint,
    LinearPairs,
    align,
    align_linear,
)
from mmkd_lab.attribution.captum_case import CaptumCase, check_masks, feature_masks, grid
from mmkd_lab.attribution.channels import CHANNEL_METHODS, ChannelSaliency, by_channel
from mmkd_lab.attribution.editing import Edited, Editor
from mmkd_lab.attribution.methods import Ablation, IntegratedGradients, Occlusion
from mmkd_lab.attribution.modality import METHODS, by_modality
from mmkd_lab.attribution.rankings import (
    RANKINGS,
    Ranking,
    RankingContext,
    kept_channels,
    register_ranking,
    truth_of,
)
from mmkd_lab.attribution.repaired import RepairedTeacher, load_repaired, repair
from mmkd_lab.attribution.saliency import DISTANCES, closed_form, minmax, top_k_precision, weight_magnitude
from mmkd_lab.attribution.tables import Attribution, Intervals
from mmkd_lab.attribution.within import MAP_METHODS, Maps, within_modality

__all__ = [
    "CHANNEL_METHODS",
    "DISTANCES",
    "MAP_METHODS",
    "METHODS",
    "RANKINGS",
    "Ablation",
    "Aligned",
    "Alignment",
    "Attribution",
    "CaptumCase",
    "ChannelSaliency",
    "Edited",
    "Editor",
    "IntegratedGradients",
    "Intervals",
    "Joint",
    "LinearPairs",
    "Maps",
    "Occlusion",
    "Ranking",
    "RankingContext",
    "RepairedTeacher",
    "align",
    "align_linear",
    "by_channel",
    "by_modality",
    "check_masks",
    "closed_form",
    "feature_masks",
    "grid",
    "kept_channels",
    "load_repaired",
    "minmax",
    "register_ranking",
    "repair",
    "top_k_precision",
    "truth_of",
    "weight_magnitude",
    "within_modality",
]
