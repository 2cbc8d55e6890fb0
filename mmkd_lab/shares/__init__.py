"""What two modalities share of what decides a label: estimators, declared truth, and their common result.

Shares are those of the modality Venn diagram of Xue et al. 2023 (MFH), section 3, with the two parts it has
no room for: synergy and the unobserved.
"""

from mmkd_lab.shares.commonality import commonality_shares
from mmkd_lab.shares.criteria import Criteria
from mmkd_lab.shares.decisive import Decisive, decisive_channels
from mmkd_lab.shares.estimators import ESTIMATORS, Estimator, register_estimator
from mmkd_lab.shares.gaussian import declared, gaussian_pid, world_pid
from mmkd_lab.shares.hypotheses import RIVALS, Rival, TaughtStudent, register_rival
from mmkd_lab.shares.information import information_shares
from mmkd_lab.shares.performance import performance_shares
from mmkd_lab.shares.pid import PID, mutual_information, pid, pid_stack, table_of
from mmkd_lab.shares.samples import discretise, normal_scores
from mmkd_lab.shares.shares import ModalityShares, from_masses
from mmkd_lab.shares.sides import Sides

__all__ = [
    "ESTIMATORS",
    "PID",
    "RIVALS",
    "Criteria",
    "Decisive",
    "Estimator",
    "ModalityShares",
    "Rival",
    "Sides",
    "TaughtStudent",
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
    "register_estimator",
    "register_rival",
    "table_of",
    "world_pid",
]
