"""The versions a result depends on, read without importing the packages."""

from __future__ import annotations

import platform
from importlib import metadata

from mmkd_lab import __version__

#: What decides a number.
PACKAGES = (
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
    """Python, the lab and each package -> its version, or 'not installed'."""
    own = {"python": platform.python_version(), "mmkd-lab": __version__}
    return {**own, **{name: version(name) for name in PACKAGES}}


def version(name: str) -> str:
    """The version of an installed package, or 'not installed'."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
