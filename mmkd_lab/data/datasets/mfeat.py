"""mfeat: UCI Multiple Features (Duin 1998), 2,000 handwritten digits in six views.

fac: 216 profile correlations. fou: 76 Fourier coefficients of the shape. kar: 64 Karhunen-Loève coefficients.
mor: 6 morphological features. pix: 240 pixel averages. zer: 47 Zernike moments.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import consecutive, facts_of, paired
from mmkd_lab.data.content import array_set
from mmkd_lab.data.datasets.recipes import Mfeat
from mmkd_lab.data.making.pairing import stratified_order
from mmkd_lab.data.making.scale import standardise
from mmkd_lab.data.paired import PairedData

#: Columns of each view.
WIDTHS = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
ROWS = 2000


def build(recipe: Mfeat) -> PairedData:
    """The dataset. Use `data.load("mfeat", ...)`.

    Each view: (N, columns) float32, columns standardised by the training rows. The file is sorted by class;
    the rows are drawn in a seeded, stratified order. index: the row in the file.

    Raises `DamagedFile` when the file is missing or damaged.
    """
    found = array_set("mfeat", mirror=recipe.mirror, path=recipe.path)
    sizes = (recipe.n_train, recipe.n_val, recipe.n_test)
    label = found.whole("y")
    rng = np.random.default_rng(derive(recipe.seed, "mfeat", "split"))
    rows = stratified_order(label, rng)[: sum(sizes)]
    train = np.arange(recipe.n_train)
    return paired(
        "mfeat",
        modalities={name: standardise(found[name][rows], train) for name in recipe.views},
        target=label[rows],
        splits=consecutive(sizes),
        classes=tuple("0123456789"),
        index=rows,
        recipe=facts_of(recipe, [found.file]),
    )


def write(folder: Path, target: Path) -> None:
    """Turn the six text files of UCI dataset 72 (mfeat-fac ... mfeat-zer) into the array file; see `pack`.

    Raises `DamagedFile` when one is missing or malformed.
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {name: _read_text(folder, name) for name in WIDTHS}
    arrays["y"] = np.repeat(np.arange(10, dtype=np.uint8), ROWS // 10)
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]


def _read_text(folder: Path, view: str) -> npt.NDArray[np.float32]:
    path = folder / f"mfeat-{view}"
    if not path.is_file():
        raise DamagedFile(str(path), "missing", "must be there", "It is part of UCI dataset 72.")
    rule = f"must hold {ROWS} rows of {WIDTHS[view]} finite numbers"
    with reading(path, rule):
        table = np.array(path.read_text(encoding="ascii").split(), dtype=np.float64)
    if table.size != ROWS * WIDTHS[view] or not np.isfinite(table).all():
        raise DamagedFile(str(path), f"{table.size} numbers", rule)
    return table.reshape(ROWS, WIDTHS[view]).astype(np.float32)
