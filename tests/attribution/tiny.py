"""Networks so small that what an attribution must say can be derived by hand."""

import torch
from torch import nn

from mmkd_lab.attribution.saliency import distance


class Additive(nn.Module):
    """Logit c is w_a[c] . a + w_b[c] . b + bias: every modality adds its own part."""

    def __init__(self, d_a=3, d_b=2, classes=2, seed=0):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.a, self.b = nn.Linear(d_a, classes), nn.Linear(d_b, classes, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=g))

    def forward(self, x):
        return self.a(x["a"].flatten(1)) + self.b(x["b"].flatten(1))


class Product(nn.Module):
    """Logits (p, -p) with p the product of all modalities, each (B, 1): nothing but interaction."""

    def forward(self, x):
        p = torch.stack([values[:, 0] for values in x.values()]).prod(0)
        return torch.stack([p, -p], dim=1)


class Mlp(nn.Module):
    """A smooth network over everything, with dropout that only evaluation mode switches off."""

    def __init__(self, widths, classes=3, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.names = tuple(widths)
        self.body = nn.Sequential(
            nn.Linear(sum(widths.values()), 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, classes)
        )

    def forward(self, x):
        return self.body(torch.cat([x[name].flatten(1) for name in self.names], dim=1))


class Words(nn.Module):
    """Tokens 'text' (B, L) and a vector 'a' (B, 2): each token adds its embedding row to the logits."""

    def __init__(self, classes=2, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding, self.a = nn.Embedding(5, classes), nn.Linear(2, classes)

    def forward(self, x):
        return self.embedding(x["text"]).sum(1) + self.a(x["a"])


class Conv(nn.Module):
    """Image 'a' (B, 1, 4, 4): a convolution, then a head over maps: 'flat', 'pooled', or through an MLP."""

    def __init__(self, reads="flat", seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.reads, self.modalities = reads, ("a",)
        self.conv, self.act = nn.Conv2d(1, 3, 3, padding=1), nn.ReLU()
        self.hidden = nn.Linear(48, 6)
        self.head = nn.Linear({"flat": 48, "pooled": 3, "mlp": 6}[reads], 2)

    def forward(self, x):
        maps = self.act(self.conv(x["a"]))
        if self.reads == "pooled":
            return self.head(maps.mean((2, 3)))
        flat = maps.flatten(1)
        return self.head(torch.tanh(self.hidden(flat)) if self.reads == "mlp" else flat)


class Joined(nn.Module):
    """Two modalities that meet after `first`: the rest of the network needs both."""

    def __init__(self, how="cat", seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.how = how
        self.first, self.second = nn.Linear(4, 3), nn.Linear(2, 3)
        self.out = nn.Linear(6 if how == "cat" else 3, 2)

    def forward(self, x):
        a, b = torch.tanh(self.first(x["a"])), torch.tanh(self.second(x["b"]))
        return torch.tanh(self.out(torch.cat([a, b], dim=1) if self.how == "cat" else a + b))


class Student(nn.Module):
    """A linear student of modality 'b' (B, 2)."""

    modalities = ("b",)

    def __init__(self, d=2, classes=2, seed=1):
        super().__init__()
        torch.manual_seed(seed)
        self.head = nn.Linear(d, classes)

    def forward(self, x):
        return self.head(x["b"].flatten(1))


class Linear(nn.Module):
    """A linear teacher of modality 'a', with its head by name."""

    modalities = ("a",)

    def __init__(self, d=4, classes=2, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.head = nn.Linear(d, classes)

    def forward(self, x):
        return self.head(x["a"])


def draw(n=12, seed=0, **shapes):
    """{modality: (n, *shape)} standard normal."""
    g = torch.Generator().manual_seed(seed)
    return {name: torch.randn((n, *shape), generator=g) for name, shape in shapes.items()}


def some_orders(n, count, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(n, generator=g) for _ in range(count)])


def plain_loop(rest, passed, student, orders, *, kind="mse", axis=1):
    """(M, d) Algorithm 1 as it is written: permute a channel, run the rest, measure; nothing is shared."""
    student = student.double()
    start = distance(rest(passed.clone()).double(), student, kind=kind).mean()
    found = torch.zeros(len(orders), passed.shape[axis], dtype=torch.float64)
    for m, order in enumerate(orders):
        for i in range(passed.shape[axis]):
            moved = passed.clone().movedim(axis, 0)
            moved[i] = moved[i][order]
            again = rest(moved.movedim(0, axis)).double()
            found[m, i] = distance(again, student, kind=kind).mean() - start
    return found.detach()
