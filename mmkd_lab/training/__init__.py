"""Training: replicas, the loop, evaluation, checkpoints."""

from __future__ import annotations

from mmkd_lab.training.checkpoint import load, save
from mmkd_lab.training.device import threads
from mmkd_lab.training.fit import TrainingResult, fit
from mmkd_lab.training.metrics import evaluate
from mmkd_lab.training.pruning import Pruned, prune
from mmkd_lab.training.reading import Augment
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.teach import teacher_outputs

__all__ = [
    "Augment",
    "Pruned",
    "Recipe",
    "Replicas",
    "TrainingResult",
    "evaluate",
    "fit",
    "load",
    "prune",
    "save",
    "teacher_outputs",
    "threads",
]
