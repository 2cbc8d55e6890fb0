"""KD from several teachers at once, each sample from those that are to be trusted on it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from mmkd_lab.core.check import require
from mmkd_lab.core.config import config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.losses.kd import KD
from mmkd_lab.distill.method import Context, register_method
from mmkd_lab.distill.multi_teacher import Trust, mix_teachers, trust
from mmkd_lab.distill.teacher_outputs import TeacherOutputs


@register_method("multi_teacher")
@config
class MultiTeacher(KD):
    """`KD` from one teacher in the place of several: this one and `Context.others`, see `mix_teachers`.

    Args:
        trust: how far each teacher counts on a sample, see `multi_teacher.trust`.
    """

    tasks: ClassVar[tuple[Task, ...]] = (Task.SINGLE_LABEL, Task.MULTI_LABEL)

    trust: Trust = "confidence"

    def prepare(self, teacher: TeacherOutputs, context: Context, *, seed: int) -> TeacherOutputs:
        """The mixture, under the removal and the identity of the first teacher."""
        require(len(context.others) > 0, "context.others", [], "must hold at least one further teacher")
        kept = super().prepare(teacher, context, seed=seed)
        every = [kept.logits, *(other.rows(kept.index).logits for other in context.others)]
        target = None
        if self.trust == "label" and context.data is not None:
            target = kept.targets(context.data)
            target = target.expand(len(kept), *target.shape)
        share = trust(every, by=self.trust, target=target, task=self.task)
        mixed = mix_teachers(every, weights=share, temperature=self.temperature, task=self.task)
        return replace(kept, logits=mixed)
