"""The oracle of the fast paths: one network after the other, two logits, autograd, double precision.

The protocol is that of Xue et al. 2023 (MFH), Gaussian experiments: Linear(d, 2), SGD without momentum, full
batch.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mmkd_lab.training.worlds import starts_of

TEACHERS = {"cm_kd": "a", "kl_only": "a", "um_kd": "b", "mm_kd": "ab"}


def train_one(x, y, start, recipe, *, teacher=None, ce=1.0):
    """(d + 1,) weights and bias of the logit difference; `teacher`: (N, 2) logits or None."""
    x, y = torch.from_numpy(x).double(), torch.from_numpy(y)
    network = torch.nn.Linear(x.shape[1], 2, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(start[:, :-1]))
        network.bias.copy_(torch.from_numpy(start[:, -1]))
    optimiser = torch.optim.SGD(network.parameters(), lr=recipe.lr)
    for _ in range(recipe.steps):
        optimiser.zero_grad()
        logits = network(x)
        loss = ce * F.cross_entropy(logits, y)
        if teacher is not None:
            # nn.KLDivLoss() of the released code divides by samples and classes
            parts = len(x) * (2 if recipe.convention == "released" else 1)
            t = recipe.temperature
            apart = F.kl_div((logits / t).log_softmax(1), (teacher / t).softmax(1), reduction="sum")
            loss = loss + recipe.kd * t**2 * apart / parts
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        both = torch.cat([network.weight, network.bias[:, None]], dim=1)
        return (both[1] - both[0]).numpy(), network(x)


def fit_plainly(drawn, arms, recipe):
    """Teachers by view and students by arm, as `fit_worlds` has them."""
    rows = drawn.rows("train")
    teachers, outputs = {}, {}
    for view in dict.fromkeys(TEACHERS[arm] for arm in arms if arm in TEACHERS):
        starts, x = starts_of(drawn, view, role="teacher"), drawn.modality(view)[:, rows]
        found = [train_one(x[w], drawn.target[w, rows], starts[w], recipe) for w in range(len(drawn))]
        teachers[view], outputs[view] = np.stack([w for w, _ in found]), [said for _, said in found]
    starts, students = starts_of(drawn, "b", role="student"), {}
    for arm in arms:
        soft = outputs.get(TEACHERS.get(arm), [None] * len(drawn))
        ce = {"no_kd": 1.0, "kl_only": 0.0}.get(arm, recipe.ce)
        students[arm] = np.stack(
            [
                train_one(drawn.b[w, rows], drawn.target[w, rows], starts[w], recipe, teacher=soft[w], ce=ce)[
                    0
                ]
                for w in range(len(drawn))
            ]
        )
    return teachers, students
