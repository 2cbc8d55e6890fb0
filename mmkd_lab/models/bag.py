"""Text as the mean of its tokens' embeddings."""

from __future__ import annotations

from torch import Tensor, nn

from mmkd_lab.core.check import LabError
from mmkd_lab.data.text import PAD


class Bag(nn.Module):
    """(B, L) token ids -> (B, F): the mean of the embeddings, 8 * width long, and a dense layer with ReLU.

    Padding does not count; a text of padding alone is the zero vector. The order of tokens is not seen.
    """

    def __init__(self, rows: int, *, width: int, features: int) -> None:
        super().__init__()
        self.stem = _Mean(rows, 8 * width)
        self.dense = nn.Linear(8 * width, features)
        self.map_channels, self.out_features = 8 * width, features

    def forward(self, x: Tensor) -> Tensor:
        """(B, L) -> (B, F)."""
        return nn.functional.relu(self.dense(self.stem(x)))


class _Mean(nn.Module):
    def __init__(self, rows: int, length: int) -> None:
        super().__init__()
        self.table = Embedding(rows, length)

    def forward(self, ids: Tensor) -> Tensor:
        there = (ids != PAD).unsqueeze(-1).to(self.table.weight.dtype)
        content: Tensor = self.table(ids)
        return (content * there).sum(-2) / there.sum(-2).clamp(min=1)


class Embedding(nn.Embedding):
    """(..., L) token ids -> (..., L, F), refusing an id that the table does not have (on the CPU).

    torch's own does not look whether an id is in range when replicas are stacked: it silently reads the next
    replica's table.
    """

    def forward(self, ids: Tensor) -> Tensor:
        """(..., L) -> (..., L, F). Raises `LabError` for an id out of range."""
        try:
            return self.weight[ids]
        except IndexError as error:
            rule = f"must lie between {PAD} and {self.num_embeddings - 1}"
            raise LabError("token ids", str(error), rule, "Give NetSpec a larger vocabulary.") from error
