"""The versions a result depends on, read without importing the packages."""

from __future__ import annotations

import platform
from importlib import metadata

#: What decides a number.
PACKAGES = (
    "mmkd-lab",
    "torch",
    "lightning-fabric",
    "numpy",
    "scipy",
    "numba",
    "pandas",
    "scikit-learn",
    "captum",
)


def versions() -> dict[str, str]:
    """Python and each package -> its version, or 'not installed'."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def version(name: str) -> str:
    """The version of an installed package, or 'not installed'."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
