"""mmkd_lab: the laboratory for multimodal knowledge distillation.

The stage is the namespace: `mmkd_lab.data`, `.models`, `.distill`, `.training`, `.attribution`, `.shares`,
`.plotting`, `.experiments`, `.forecast`, `.study`, `.whatif`. A stage is loaded when it is first used, so
that importing the package costs little.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from mmkd_lab.core.streams import accept_every_letter

__version__ = "0.1.0"

#: The floors of the house, lowest first. Each imports only from the floors before it.
FLOORS = (
    "core",
    "data",
    "models",
    "distill",
    "training",
    "attribution",
    "shares",
    "plotting",
    "experiments",
    "forecast",
    "study",
    "whatif",
    "cli",
)

accept_every_letter()

__all__ = ["FLOORS", "__version__", *FLOORS]


def __getattr__(name: str) -> ModuleType:
    if name in FLOORS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
