"""What two modalities share of what decides a label: estimators, declared truth, and their common result.

Shares are those of the modality Venn diagram of Xue et al. 2023 (MFH), section 3, with the two parts it has
no room for: synergy and the unobserved.
"""

from mmkd_lab.venn.commonality import commonality_shares
from mmkd_lab.venn.decisive import Decisive, decisive_channels
from mmkd_lab.venn.discrete import discretise, normal_scores
from mmkd_lab.venn.gaussian import declared, gaussian_pid, world_pid
from mmkd_lab.venn.information import information_shares
from mmkd_lab.venn.performance import performance_shares
from mmkd_lab.venn.pid import PID, mutual_information, pid, pid_stack, table_of
from mmkd_lab.venn.shares import ModalityShares, from_masses

__all__ = [
    "PID",
    "Decisive",
    "ModalityShares",
    "commonality_shares",
    "decisive_channels",
    "declared",
    "discretise",
    "from_masses",
    "gaussian_pid",
    "information_shares",
    "mutual_information",
    "normal_scores",
    "performance_shares",
    "pid",
    "pid_stack",
    "table_of",
    "world_pid",
]
