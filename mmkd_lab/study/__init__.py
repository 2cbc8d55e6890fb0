"""Studies: arms in, a table, a figure and a verdict out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmkd_lab.study.crowds import crowd_students, crowd_teacher
    from mmkd_lab.study.diagnosis.run import diagnose
    from mmkd_lab.study.failure import failure_cases
    from mmkd_lab.study.filtered import filtered_answers
    from mmkd_lab.study.msd import kd_vs_msd
    from mmkd_lab.study.recovery import known_shares
    from mmkd_lab.study.repair import repair_teachers
    from mmkd_lab.study.rivals import rival_hypotheses
    from mmkd_lab.study.sharing import modality_shares
    from mmkd_lab.study.table2 import table_2, table_2_channels, table_2_controls, table_2_swap
    from mmkd_lab.study.worlds import figure2, figure3

# A module must not be called as its function is: once imported, it would hide the function.
_WHERE = {
    "crowd_students": "crowds",
    "crowd_teacher": "crowds",
    "diagnose": "diagnosis.run",
    "failure_cases": "failure",
    "figure2": "worlds",
    "figure3": "worlds",
    "filtered_answers": "filtered",
    "kd_vs_msd": "msd",
    "known_shares": "recovery",
    "modality_shares": "sharing",
    "repair_teachers": "repair",
    "rival_hypotheses": "rivals",
    "table_2": "table2",
    "table_2_channels": "table2",
    "table_2_controls": "table2",
    "table_2_swap": "table2",
}

__all__ = [
    "crowd_students",
    "crowd_teacher",
    "diagnose",
    "failure_cases",
    "figure2",
    "figure3",
    "filtered_answers",
    "kd_vs_msd",
    "known_shares",
    "modality_shares",
    "repair_teachers",
    "rival_hypotheses",
    "table_2",
    "table_2_channels",
    "table_2_controls",
    "table_2_swap",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute may be anything
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
