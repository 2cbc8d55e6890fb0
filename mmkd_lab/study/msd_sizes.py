"""How large a comparison of KD and MSD is, unless it is told otherwise.

Set by time and by the validation accuracy of students and teachers that learn from labels alone; the learning
rate is the best of 0.001 to 0.1 for both on shapes_vl's redundant mix. On other data choose it anew, by the
option `rates`: networks that have not learnt what they can make any further term look good. The teacher
has about eight times the student's parameters. Dense layers read pictures and sounds: on one core they are
several times quicker than convolutions at these sizes. A hidden layer after the fusion lets both networks
combine what only both modalities together tell.
"""

from __future__ import annotations

from dataclasses import replace

from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import NetSpec
from mmkd_lab.study.profiles import Profile
from mmkd_lab.training.recipe import Recipe

STUDENT = NetSpec(width=2, features=16, joint=16)
TEACHER = NetSpec(width=16, features=32, joint=64)

PROFILES: dict[str, Profile] = {
    "quick": Profile(
        name="quick",
        seeds=5,
        student=STUDENT,
        teacher=TEACHER,
        recipe=Recipe(epochs=15, batch_size=64, lr=1e-2),
        data={"shapes_vl": {"n_train": 1500, "n_val": 400, "n_test": 1000}},
    ),
    "full": Profile(
        name="full",
        seeds=10,
        student=STUDENT,
        teacher=TEACHER,
        recipe=Recipe(epochs=30, batch_size=64, lr=1e-2),
        data={"shapes_vl": {"n_train": 5000, "n_val": 1000, "n_test": 5000}},
    ),
}


def dense(spec: NetSpec, data: PairedData) -> NetSpec:
    """The same network with dense layers for every modality that is not text."""
    return replace(spec, encoder={name: "mlp" for name in data.modalities if name not in data.vocabularies})
