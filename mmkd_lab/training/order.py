"""The order in which each replica sees its samples, and what is removed from them. One stream per replica."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmkd_lab.core.seed import derive


class Order:
    """Epoch after epoch, a fresh permutation per replica from the 'order' stream of its seed.

    Each replica has a generator of its own, so that what it sees does not depend on who is trained beside it.
    """

    def __init__(self, seeds: Sequence[int], samples: int) -> None:
        self.samples = samples
        self.generators = [torch.Generator().manual_seed(derive(seed, "order")) for seed in seeds]

    def epoch(self) -> Tensor:
        """(R, N) int64: slots of the training split."""
        return torch.stack([torch.randperm(self.samples, generator=g) for g in self.generators])


class ViewDraw:
    """Modality dropout: for each sample of each replica, which modalities stay, from the 'views' stream.

    Each modality goes with probability `rate`; where all would go, one stays, drawn evenly.
    """

    def __init__(self, seeds: Sequence[int], modalities: Sequence[str], rate: float) -> None:
        self.modalities, self.rate = tuple(modalities), rate
        self.generators = [torch.Generator().manual_seed(derive(seed, "views")) for seed in seeds]

    def batch(self, size: int, device: torch.device) -> dict[str, Tensor]:
        """{modality: (R, B) bool}."""
        m = len(self.modalities)
        drawn = torch.stack(
            [torch.rand(size, m + 1, generator=g, dtype=torch.float64) for g in self.generators]
        )
        stays = drawn[..., :m] >= self.rate
        spared = (drawn[..., m] * m).long().clamp(max=m - 1)
        stays |= (~stays.any(-1))[..., None] & torch.nn.functional.one_hot(spared, m).bool()
        stays = stays.to(device)
        return {name: stays[..., i] for i, name in enumerate(self.modalities)}
