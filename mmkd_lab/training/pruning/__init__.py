"""Progressive pruning: the rival way to a small network, by taking units away from the large one."""

from mmkd_lab.training.pruning.prune import Pruned, budget_share, prune
from mmkd_lab.training.pruning.units import groups_of, parameter_count, prunable_range

__all__ = ["Pruned", "budget_share", "groups_of", "parameter_count", "prunable_range", "prune"]
