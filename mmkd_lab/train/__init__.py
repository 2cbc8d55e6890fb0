"""Training: replicas, the loop, evaluation, checkpoints."""

from __future__ import annotations

from mmkd_lab.train.checkpoint import load, save
from mmkd_lab.train.device import threads
from mmkd_lab.train.evaluate import evaluate
from mmkd_lab.train.fit import Fit, fit
from mmkd_lab.train.pruning import Pruned, prune
from mmkd_lab.train.recipe import Recipe
from mmkd_lab.train.replicas import Replicas
from mmkd_lab.train.teach import cache_views

__all__ = [
    "Fit",
    "Pruned",
    "Recipe",
    "Replicas",
    "cache_views",
    "evaluate",
    "fit",
    "load",
    "prune",
    "save",
    "threads",
]
