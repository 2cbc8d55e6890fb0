"""Keep only the leading principal components of images: the paper's way to weaken the image of AV-MNIST."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PCA:
    """Principal components of training images.

    Args:
        mean: (D,) mean image.
        directions: (D, D) orthonormal columns, the strongest first.
        energy: (D,) share of the variance on each direction; sums to one.
    """

    mean: Floats
    directions: Floats
    energy: Floats

    def components_for(self, energy_kept: float) -> int:
        """The smallest number of components whose share of the variance is at least `energy_kept`."""
        reached = np.cumsum(self.energy) >= energy_kept - 1e-12
        return int(np.argmax(reached)) + 1 if reached.any() else len(self.energy)

    def keep(self, images: npt.NDArray[np.floating], components: int) -> Floats:
        """(N, D) images rebuilt from their first components; the mean is kept."""
        basis = self.directions[:, :components]
        return np.asarray(self.mean + (images - self.mean) @ basis @ basis.T)


def fit_pca(images: npt.NDArray[np.uint8]) -> PCA:
    """Principal components of (N, D) images, scaled from 0..255 to 0..1.

    The covariance is summed in whole numbers, so that the fit is the same in any order and on any machine but
    for the last bits of the eigenvectors. Raises `LabError` for fewer than two images.
    """
    require(
        images.ndim == 2 and len(images) >= 2,
        "images",
        images.shape,
        "must be (N, D) with at least two images",
    )
    n, total = len(images), np.zeros(images.shape[1])
    product = np.zeros((images.shape[1], images.shape[1]))
    for start in range(0, n, 10000):
        part = images[start : start + 10000].astype(np.float64)
        total += part.sum(axis=0)
        product += part.T @ part  # whole numbers below 2^53: exact
    mean = total / n
    values, vectors = np.linalg.eigh((product / n - np.outer(mean, mean)) / 255.0**2)
    values = np.clip(values[::-1], 0.0, None)
    whole = values.sum()
    energy = values / whole if whole > 0 else values
    return PCA(mean / 255.0, np.ascontiguousarray(vectors[:, ::-1]), energy)
