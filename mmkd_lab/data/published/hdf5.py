"""HDF5 files, opened to be read; MATLAB's files from version 7.3 on are such."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmkd_lab.core.check import DamagedFile, LabError, reading
from mmkd_lab.data.published.items import genuine


@contextmanager
def opened(file: Path, what: str = "an hdf5 file that can be read to its end") -> Iterator[Any]:
    """The file, which must be `what`. Raises `DamagedFile`, and `LabError` where h5py is not installed."""
    try:
        import h5py
    except ImportError as error:
        way_out = 'Install it: pip install "mmkd-lab[hdf5]".'
        raise LabError("file", str(file), "needs h5py, as it is an HDF5 file", way_out) from error
    with reading(genuine(file), f"must be {what}", "Fetch it again."), h5py.File(file, "r") as held:
        yield held


def shape_of(file: Path, held: Any, key: str, kinds: str = "fiu") -> tuple[int, ...]:  # noqa: ANN401 - h5py's
    """The shape of an array of these kinds of values. Raises `DamagedFile` where none has that name."""
    found: Any = held.get(key)
    shape: tuple[int, ...] | None = getattr(found, "shape", None)
    if not shape or found.dtype.kind not in kinds:
        raise DamagedFile(
            str(file), f"keys {sorted(held)[:8]}", f"must hold {key!r}, an array of published values"
        )
    return shape
