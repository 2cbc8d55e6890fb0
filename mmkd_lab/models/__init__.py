"""Networks: encoders, fusion, the split into features and head, and views with their removal."""

from __future__ import annotations

from mmkd_lab.models.adapter import ModelAdapter
from mmkd_lab.models.hugging_face import HuggingFaceNet
from mmkd_lab.models.layers import HEAD, named_layers
from mmkd_lab.models.network import MultimodalNet, build
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
    "HEAD",
    "REMOVALS",
    "SIZES",
    "AttentionMask",
    "HuggingFaceNet",
    "Learned",
    "Mean",
    "ModelAdapter",
    "MultimodalNet",
    "NetSpec",
    "Permutation",
    "Removal",
    "View",
    "Zeros",
    "all_views",
    "build",
    "named_layers",
    "removal_named",
    "split_views",
    "view_rows",
]
