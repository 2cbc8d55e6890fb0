"""TelME's second stage: weak modalities shift the strong one's embedding, with every encoder frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd_lab.core.check import real, require, whole
from mmkd_lab.models.initialise import initialise

_TINY = 1e-12


class ShiftFusion(nn.Module):
    """{modality: embedding (B, F)} -> logits (B, K), by a bounded shift of the strong modality's embedding.

    h = LN(MHA(weak) + weak), g = ReLU(W [h; t]), d = g · (W' h), a = min(scale · ||t|| / ||d||, 1), and the
    logits are read from LN(t + a · d): the shift is never longer than `scale` (0.1 on MELD) times the strong
    embedding t. Source: Yun et al. 2024 (TelME). There the weak embeddings [v; a] enter the attention; here
    they are its tokens, one per modality, so that the logits of a sample depend on that sample alone.

    In training `dropout` drops entries of h and of what the head reads, at the rate 0.2 in TelME. By default
    it is 0, so that seeds can be stacked (see `training.fit`, mode).

    The encoders are not part of it: give it features F that frozen encoders computed, for instance as the
    modalities of a dataset, and train it with `fit` like any network. The seed is the run's.

    Raises `LabError` for a modality named twice, heads that do not divide F, a number out of range, and when
    called for an embedding that is missing or of another length.
    """

    def __init__(
        self,
        strong: str,
        weak: Sequence[str],
        *,
        features: int,
        num_outputs: int,
        heads: int = 1,
        scale: float = 0.1,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.strong, self.weak = strong, tuple(weak)
        self.modalities = tuple(sorted({strong, *self.weak}))
        distinct = len(self.modalities) == 1 + len(self.weak) > 1
        rule = f"must name at least one modality, each once, and not the strong one, {strong!r}"
        require(distinct, "weak", self.weak, rule)
        width, self.heads = whole("features", features), whole("heads", heads)
        require(width % self.heads == 0, "heads", heads, f"must divide the {width} features")
        self.scale = real("scale", scale, above=0.0)
        self.dropout = nn.Dropout(real("dropout", dropout, at_least=0.0, at_most=0.9))
        self.out_features = width
        with torch.random.fork_rng(devices=[]):  # torch's own first draw is thrown away
            self.project = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.weak_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
            self.gate = nn.Linear((len(self.weak) + 1) * width, width)
            self.displace = nn.Linear(len(self.weak) * width, width)
            self.head = nn.Linear(width, whole("num_outputs", num_outputs))
        initialise(self, seed=whole("seed", seed, at_least=0))

    def features(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, F)} -> LN(t + a · d), (B, F), which the head reads."""
        strong, displaced = self.shift(x)
        out: Tensor = self.dropout(self.norm(strong + displaced))
        return out

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, F)} -> logits (B, K)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def shift(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(t, a · d), both (B, F): the strong embedding, and the shift it is given."""
        strong = self._embedding(x, self.strong)
        tokens = torch.stack([self._embedding(x, name) for name in self.weak], dim=-2)
        h = self.dropout(self.weak_norm(self._attended(tokens) + tokens)).flatten(-2)
        d = F.relu(self.gate(torch.cat([h, strong], dim=-1))) * self.displace(h)
        length = d.norm(dim=-1, keepdim=True).clamp(min=_TINY)
        share = (self.scale * strong.norm(dim=-1, keepdim=True) / length).clamp(max=1.0)
        return strong, share * d

    def _attended(self, tokens: Tensor) -> Tensor:
        """Self-attention over the weak modalities of one sample, (B, M, F) -> (B, M, F)."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for part in self.project(tokens).chunk(3, dim=-1)
        )
        # Written out: torch's fused attention cannot be stacked over replicas.
        weight = (q @ k.mT / sqrt(q.shape[-1])).softmax(-1)
        out: Tensor = self.out((weight @ v).transpose(-3, -2).flatten(-2))
        return out

    def _embedding(self, x: Mapping[str, Tensor], name: str) -> Tensor:
        rule = f"must hold {list(self.modalities)}, each (batch, {self.out_features})"
        fits = name in x and x[name].ndim >= 2 and x[name].shape[-1] == self.out_features
        require(fits, "x", {name: tuple(one.shape) for name, one in x.items()}, rule)
        return x[name]
