"""The versions a result depends on, read without importing the packages."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

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


@cache
def code_digest() -> str:
    """A name for the lab's own code as it is now: 16 digits of the SHA-256 over its Python files."""
    package, total = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        total.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]
