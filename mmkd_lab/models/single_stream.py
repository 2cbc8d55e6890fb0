"""One transformer over the tokens of all modalities: VisualBERT's kind (Li et al. 2019, arXiv 1908.03557)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn

from mmkd_lab.models.tokens import Tokens


class SingleStream(nn.Module):
    """[CLS], then each modality's tokens and a [SEP]; pre-LayerNorm blocks; the final state of [CLS].

    A token is its content plus the embeddings of its position and of its segment, the modality. A masked
    modality's tokens get no attention and no content, so that nothing of them is left, not even how many
    words there were; [CLS] and [SEP] stay, and the empty view has an answer. Pooling [CLS] rather than the
    last word: there is always one. No dropout, so that replicas can be stacked.
    """

    masks = True

    def __init__(self, tokens: Sequence[Tokens], *, features: int, depth: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.ModuleList(tokens)
        self.counts = [one.count for one in tokens]
        self.cls, self.separator = (nn.Parameter(torch.empty(features)) for _ in range(2))
        self.position = nn.Parameter(torch.empty(sum(self.counts), features))
        self.segment = nn.Parameter(torch.empty(len(tokens), features))
        self.blocks = nn.ModuleList([Block(features, heads=heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(features)
        self.out_features = features

    def forward(self, x: list[Tensor], kept: list[Tensor | None]) -> Tensor:
        """M tensors (B, ...) and M masks, (B,) bool or None where all are kept -> (B, F)."""
        states, seen = self._sequence(x, kept)
        bias = None
        if seen is not None:
            bias = torch.zeros_like(seen, dtype=states.dtype).masked_fill(~seen, -torch.inf)[:, None, None]
        *early, last = self.blocks
        for block in early:
            states = block(states, bias)
        # Only [CLS] is read: the last block need not work out the other states.
        out: Tensor = self.norm(last(states, bias, first=True)[:, 0])
        return out

    def _sequence(self, x: list[Tensor], kept: list[Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """(B, S, F), and (B, S) bool where something must not be attended to."""
        states, seen = [self.cls.expand(len(x[0]), 1, -1)], []
        always = torch.ones(len(x[0]), 1, dtype=torch.bool, device=x[0].device)
        masked = False
        makers = cast("list[Tokens]", list(self.tokens))  # a ModuleList forgets what its modules are
        added = zip(torch.split(self.position, self.counts), self.segment, strict=True)
        for make, values, mask, (place, segment) in zip(makers, x, kept, added, strict=True):
            content, there = make(values) + place + segment, make.there(values)
            masked = masked or there is not None or mask is not None
            there = always.expand(-1, len(place)) if there is None else there
            if mask is not None:
                there = there & mask.unsqueeze(-1)
                content = torch.where(mask[:, None, None], content, content.new_zeros(()))
            states += [content, (self.separator + segment).expand(len(content), 1, -1)]
            seen += [there, always]
        return torch.cat(states, dim=1), torch.cat([always, *seen], dim=1) if masked else None


class Block(nn.Module):
    """Self-attention and a two-layer network of 4F units, each behind a LayerNorm and added to its input."""

    def __init__(self, features: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(features), nn.LayerNorm(features)
        # The norms' own shifts serve as biases here; a key bias would shift every score alike.
        self.ask = nn.Linear(features, features, bias=False)
        self.key_value = nn.Linear(features, 2 * features, bias=False)
        self.join = nn.Linear(features, features)
        self.widen, self.narrow = nn.Linear(features, 4 * features), nn.Linear(4 * features, features)

    def forward(self, x: Tensor, bias: Tensor | None, *, first: bool = False) -> Tensor:
        """(B, S, F) and what is added to the scores, (B, 1, 1, S) -> (B, S, F), (B, 1, F) with `first`."""
        read = self.before(x)
        asking, x = (read[:, :1], x[:, :1]) if first else (read, x)
        query = self._split(self.ask(asking))
        key, value = (self._split(part) for part in self.key_value(read).chunk(2, dim=-1))
        score = query @ key.transpose(-1, -2) / sqrt(query.shape[-1])
        weight = (score if bias is None else score + bias).softmax(-1)
        x = x + self.join((weight @ value).transpose(1, 2).flatten(2))
        out: Tensor = x + self.narrow(nn.functional.gelu(self.widen(self.between(x))))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, F) -> (B, heads, S, F / heads)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
