"""Forecasts: what to expect of each arm before a student is trained, and the atlas that they learn from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmkd_lab.forecast.evidence import EVIDENCE
    from mmkd_lab.forecast.foretell import Forecast, forecast
    from mmkd_lab.forecast.records import atlas

_HOME = {"EVIDENCE": "evidence", "Forecast": "foretell", "atlas": "records", "forecast": "foretell"}

__all__ = ["EVIDENCE", "Forecast", "atlas", "forecast"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute may be anything
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
