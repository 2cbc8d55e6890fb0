"""How large a study is unless it is told otherwise: quick to look, full to conclude.

Nothing here was chosen by its effect on distillation. Where a student reads one modality, it is the smallest
of three sizes tried (width 4, 8, 16) that, trained on the labels of av_digits alone, beats logistic
regression on either modality. That choice looked at the test split of av_digits, at the accuracy of no-KD
students, before the noise of the data was settled; it was not repeated afterwards. The size of the student is
therefore not independent of those test samples, although all arms share it and so does every difference
between them. The teachers are about four times as large, since in the first case study of Xue et al. 2023
(table 1) the unimodal teacher is much the stronger network.

Where teacher and student read every modality, sizes were set by time and by the validation accuracy of
networks that learn from labels alone; the learning rate is the best of 0.001 to 0.1 for both on shapes_vl's
redundant mix. On other data choose it anew, by the option `rates`: networks that have not learnt what they
can make any further term look good. The teacher has about eight times the student's parameters. Dense layers
read pictures and sounds: on one core they are several times quicker than convolutions at these sizes. A
hidden layer after the fusion lets both networks combine what only both modalities together tell.

For maps students and teachers are U-Nets, of a size set by time; their learning rate is the best of 0.003 to
0.03 for networks that learn rooms from labels alone.

Epochs mean nothing on a small split. `min_steps` is what they mean on the data that they were set on,
av_digits and shapes_vl (less the tenth that is set aside there): other data gets at least as many steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import NetSpec
from mmkd_lab.training.recipe import Recipe


@dataclass(frozen=True)
class Profile:
    """The size of a study.

    Args:
        seeds: how many paired seeds, 0 to seeds - 1.
        student: the student's network.
        teacher: the teachers' network, for every view.
        recipe: how both are trained.
        data: {dataset name: parameters of `data.load`}; a dataset that is not named keeps its defaults.
        dense: whether modalities that are no text are read by dense layers.
    """

    seeds: int
    student: NetSpec
    teacher: NetSpec
    recipe: Recipe
    data: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    dense: bool = False

    def network(self, role: str, data: PairedData) -> NetSpec:
        """The network of a role, 'student' or 'teacher', for this data."""
        spec: NetSpec = getattr(self, role)
        if not self.dense:
            return spec
        return replace(spec, encoder={m: "mlp" for m in data.modalities if m not in data.vocabularies})


#: {profile: parameters of rooms}
_ROOMS: dict[str, Mapping[str, object]] = {
    "quick": {"n_train": 120, "n_val": 40, "n_test": 150, "height": 24, "width": 24},
    "full": {"n_train": 400, "n_val": 100, "n_test": 400},
}
_ONE: dict[str, Any] = {"student": NetSpec(width=8, features=32), "teacher": NetSpec(width=16, features=64)}
#: Students of one modality.
PROFILES: dict[str, Profile] = {
    "quick": Profile(
        seeds=5,
        recipe=Recipe(epochs=20, min_steps=20 * 32, batch_size=64, lr=3e-3),
        data={"av_mnist": {"n_train": 2000, "n_val": 500, "n_test": 2000}, "rooms": _ROOMS["quick"]},
        **_ONE,
    ),
    "full": Profile(
        seeds=10,
        recipe=Recipe(epochs=30, min_steps=30 * 79, batch_size=64, lr=3e-3),
        data={"av_digits": {"n_train": 5000, "n_val": 1000, "n_test": 5000}, "rooms": _ROOMS["full"]},
        **_ONE,
    ),
}
#: Students of one modality in a dense task.
MAPS: dict[str, Profile] = {
    "quick": Profile(
        seeds=5,
        student=NetSpec(width=6, features=8),
        teacher=NetSpec(width=8, features=16),
        recipe=Recipe(epochs=20, batch_size=8, lr=1e-2),
        data={"rooms": _ROOMS["quick"]},
    ),
    "full": Profile(
        seeds=10,
        student=NetSpec(width=8, features=16),
        teacher=NetSpec(width=16, features=32),
        recipe=Recipe(epochs=30, batch_size=8, lr=1e-2),
        data={"rooms": _ROOMS["full"]},
    ),
}

_ALL: dict[str, Any] = {
    "student": NetSpec(width=2, features=16, joint=16),
    "teacher": NetSpec(width=16, features=32, joint=64),
}
#: Students of every modality.
MULTIMODAL: dict[str, Profile] = {
    "quick": Profile(
        seeds=5,
        recipe=Recipe(epochs=15, min_steps=15 * 22, batch_size=64, lr=1e-2),
        data={"shapes_vl": {"n_train": 1500, "n_val": 400, "n_test": 1000}},
        dense=True,
        **_ALL,
    ),
    "full": Profile(
        seeds=10,
        recipe=Recipe(epochs=30, min_steps=30 * 71, batch_size=64, lr=1e-2),
        data={"shapes_vl": {"n_train": 5000, "n_val": 1000, "n_test": 5000}},
        dense=True,
        **_ALL,
    ),
}
