"""Networks: encoders, fusion, the split into features and head, and views with their removal."""

from __future__ import annotations

from mmkd_lab.models.hugging_face import HuggingFaceNet
from mmkd_lab.models.network import MultimodalNet, build
from mmkd_lab.models.own import OwnNet
from mmkd_lab.models.removal import (
    REMOVALS,
    AttentionMask,
    Learned,
    Mean,
    Permutation,
    Removal,
    Zeros,
    removal_named,
)
from mmkd_lab.models.rows import split_views, view_rows
from mmkd_lab.models.spec import ENCODERS, FUSIONS, SIZES, NetSpec
from mmkd_lab.models.views import View, all_views

__all__ = [
    "ENCODERS",
    "FUSIONS",
    "REMOVALS",
    "SIZES",
    "AttentionMask",
    "HuggingFaceNet",
    "Learned",
    "Mean",
    "MultimodalNet",
    "NetSpec",
    "OwnNet",
    "Permutation",
    "Removal",
    "View",
    "Zeros",
    "all_views",
    "build",
    "removal_named",
    "split_views",
    "view_rows",
]
