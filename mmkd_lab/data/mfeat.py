"""mfeat: UCI Multiple Features (Duin 1998), 2,000 handwritten digits in six views.

fac: 216 profile correlations. fou: 76 Fourier coefficients of the shape. kar: 64 Karhunen-Loève coefficients.
mor: 6 morphological features. pix: 240 pixel averages. zer: 47 Zernike moments.
`python -m mmkd_lab.data.mfeat FOLDER FILE` packs the published text files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.core.atomic import write_with
from mmkd_lab.core.check import DamagedFile, require
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.seed import derive
from mmkd_lab.data import manifest
from mmkd_lab.data.columns import standardise
from mmkd_lab.data.content import read_arrays
from mmkd_lab.data.files import check_content, locate
from mmkd_lab.data.packing import command
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.pairing import stratified_order

#: Columns of each view.
WIDTHS = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
ROWS = 2000
SPLITS = ("train", "val", "test")


def build(
    *,
    views: tuple[str, ...],
    n_train: int,
    n_val: int,
    n_test: int,
    seed: int,
    mirror: str | None,
    path: str | None,
) -> PairedData:
    """The dataset. Use `data.load("mfeat", ...)`, which checks the parameters and knows the defaults.

    Each view: (N, columns) float32, columns standardised by the training rows. The file is sorted by class;
    the rows are drawn in a seeded, stratified order. index: the row in the file.

    Raises:
        LabError: fewer than two views, or more rows than there are.
        DamagedFile: the file is missing or damaged.
    """
    require(len(views) >= 2, "views", views, "must name at least two views, the modalities of each pair")
    used = n_train + n_val + n_test
    require(used <= ROWS, "n_train + n_val + n_test", used, f"must be at most {ROWS}, the rows of the file")
    (file,) = manifest.collection("mfeat").files
    arrays = read_arrays(file, locate(file, mirror, path=path))
    label = arrays["y"].astype(np.int64)
    rows = stratified_order(label, np.random.default_rng(derive(seed, "mfeat", "split")))[:used]
    ends = np.cumsum([0, n_train, n_val, n_test])
    facts = {
        "views": views,
        "n_train": n_train,
        "n_val": n_val,
        "n_test": n_test,
        "seed": seed,
        "files": {file.name: file.sha256},
    }
    train = np.arange(n_train)
    return PairedData(
        name="mfeat",
        modalities={name: torch.from_numpy(standardise(arrays[name][rows], train)) for name in views},
        target=torch.from_numpy(label[rows]),
        splits={name: torch.arange(ends[i], ends[i + 1]) for i, name in enumerate(SPLITS)},
        classes=tuple("0123456789"),
        index=torch.from_numpy(rows),
        recipe={**facts, "hash": digest(facts)},
    )


def pack(folder: str | Path, target: str | Path) -> Path:
    """Turn the six text files of UCI dataset 72 (mfeat-fac ... mfeat-zer) into the array file; atomic.

    Raises:
        LabError: `folder` is no folder.
        DamagedFile: a text file is missing or malformed, or the result is not what the manifest states.
    """
    source = Path(folder)
    require(source.is_dir(), "folder", str(folder), "must be the folder of mfeat-fac to mfeat-zer")
    arrays: dict[str, npt.NDArray[np.generic]] = {name: _read_text(source, name) for name in WIDTHS}
    arrays["y"] = np.repeat(np.arange(10, dtype=np.uint8), ROWS // 10)
    (file,) = manifest.collection("mfeat").files

    def write(partial: Path) -> None:
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
        try:
            check_content(file, partial)
        except DamagedFile as error:
            raise DamagedFile(
                str(source), error.value, error.rule, "Unpack the published archive again."
            ) from error

    out = Path(target)
    require(out.suffix == ".npz", "target", str(target), "must end in .npz")
    return write_with(out, write)


def _read_text(folder: Path, view: str) -> npt.NDArray[np.float32]:
    path = folder / f"mfeat-{view}"
    if not path.is_file():
        raise DamagedFile(str(path), "missing", "must be there", "It is part of UCI dataset 72.")
    rule = f"must hold {ROWS} rows of {WIDTHS[view]} finite numbers"
    try:
        table = np.array(path.read_text(encoding="ascii").split(), dtype=np.float64)
    except ValueError as error:
        raise DamagedFile(str(path), str(error), rule) from error
    if table.size != ROWS * WIDTHS[view] or not np.isfinite(table).all():
        raise DamagedFile(str(path), f"{table.size} numbers", rule)
    return table.reshape(ROWS, WIDTHS[view]).astype(np.float32)


def main(arguments: list[str]) -> int:
    """`python -m mmkd_lab.data.mfeat FOLDER FILE`; 2 when it refuses."""
    return command(pack, arguments, usage="mmkd_lab.data.mfeat FOLDER FILE.npz")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
