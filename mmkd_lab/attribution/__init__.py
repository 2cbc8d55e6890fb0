"""Attribution: by modality, within a modality, and by channel (MFH's Algorithm 1)."""

from __future__ import annotations

from mmkd_lab.attribution.alignment import Aligned, Alignment, LinearPairs, align, align_linear
from mmkd_lab.attribution.captum_case import CaptumCase, check_masks, feature_masks
from mmkd_lab.attribution.channels import CHANNEL_METHODS, ChannelSaliency, by_channel
from mmkd_lab.attribution.modality import METHODS, by_modality
from mmkd_lab.attribution.regions import grid
from mmkd_lab.attribution.saliency import DISTANCES, closed_form, minmax, top_k_precision, weight_magnitude
from mmkd_lab.attribution.tables import Attribution
from mmkd_lab.attribution.within import MAP_METHODS, Maps, within_modality

__all__ = [
    "CHANNEL_METHODS",
    "DISTANCES",
    "MAP_METHODS",
    "METHODS",
    "Aligned",
    "Alignment",
    "Attribution",
    "CaptumCase",
    "ChannelSaliency",
    "LinearPairs",
    "Maps",
    "align",
    "align_linear",
    "by_channel",
    "by_modality",
    "check_masks",
    "closed_form",
    "feature_masks",
    "grid",
    "minmax",
    "top_k_precision",
    "weight_magnitude",
    "within_modality",
]
