"""What outputs were made from: they are used on nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Classes (in the order of the logits), modalities and fingerprint of the data behind outputs."""

    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    fingerprint: str
