"""One state of the repair panel in numbers and words: which channels go, the teacher, the student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmkd_lab.core.stats import Interval, mean_interval, paired_interval
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.study import repair
from mmkd_lab.whatif import repair_draw as draw
from mmkd_lab.whatif.repair_bench import ARM, CONTROL, Bench, BySeed, Line, Numbers, between
from mmkd_lab.whatif.scene import Scene

#: What stays under a ranking, and what goes.
STAY = {
    "general": "the most general",
    "specific": "the least general",
    "random": "drawn at random",
    "weight": "the largest |W|",
}
GO = {
    "general": "the least modality-general",
    "specific": "the most modality-general",
    "random": "drawn at random",
    "weight": "those the head weighs least",
}
_OTHER = {"random": "random removal", "general": "keeping general"}


@dataclass(frozen=True, eq=False)
class Repaired:
    """What a bench knows of a state.

    Args:
        bench: the trained pairs.
        ranking, ratio, seed: which channels stay, which share goes, whose channels are drawn.
        curves: {ranking: {ratio: teachers by seed}}, the chosen ranking first, then the one beside it.
        points: {ranking: {ratio: students by seed}}, likewise, those trained.
    """

    bench: Bench
    ranking: str
    ratio: float
    seed: int
    curves: Mapping[str, Mapping[float, Numbers]]
    points: Mapping[str, Mapping[float, BySeed]]

    @property
    def beside(self) -> str:
        """The ranking that the chosen one is compared with."""
        return list(self.curves)[1]

    @property
    def here(self) -> Numbers:
        """(seeds,) the teacher at the present ratio, percent."""
        return self.curves[self.ranking][self.ratio]

    @property
    def against(self) -> Interval:
        """The teacher minus that of the other ranking, paired, points."""
        return paired_interval(self.here, self.curves[self.beside][self.ratio])

    @property
    def student(self) -> Numbers | None:
        """(seeds,) the student at the present ratio, percent; None unless trained with all seeds."""
        return _whole(self.points[self.ranking].get(self.ratio, {}), len(self.bench.seeds))

    @property
    def control(self) -> Numbers | None:
        """(seeds,) the student without a teacher, likewise."""
        return _whole(self.bench.control(), len(self.bench.seeds))

    @property
    def line(self) -> Line | None:
        """The straight line at the present ratio."""
        return between(self.points[self.ranking], self.ratio, seeds=len(self.bench.seeds))

    # Pictures.

    def channels(self) -> Scene:
        """The channels of one seed's teacher, kept and gone."""
        saliency, d = self.bench.saliency(self.seed), self.bench.channels
        stays = self.bench.kept(self.ranking, self.ratio, self.seed)
        kept = np.ones(d, bool) if stays is None else np.isin(np.arange(d), stays)
        title = f"{kept.sum()} of {d} channels stay: {STAY[self.ranking]}"
        if stays is None:
            title = f"All {d} channels stay"
        dead = int(saliency.constant.sum())
        note = f"Seed {self.seed}, {saliency.side} of {saliency.layer!r}. Filled: stays. Hollow: removed."
        below = int(np.count_nonzero(saliency.table["saliency"] < 0))
        note += f" Below 0 (orange): {below}." if below else ""
        note += f" Dead: {dead}." if dead else ""
        return draw.channels(saliency, kept, title=title, note=note)

    def teacher(self) -> Scene:
        """The teacher at every ratio known."""
        side = {1: "above {}", 0: "not told from {}", -1: "below {}"}[self.against.side]
        title = f"Teacher {self.here.mean():.1f} %: {side.format(_OTHER[self.beside])}"
        if self.bench.removed(self.ratio) == 0:
            title = f"Teacher {self.here.mean():.1f} %, whole"
        return draw.teachers(self.curves, now=self.ratio, chance=self.bench.chance, title=title)

    def taught(self) -> Scene:
        """The student where it was trained."""
        title, student = "Student: not trained here", self.student
        if student is not None:
            title = f"Student {student.mean():.1f} %, trained here"
        elif self.line is not None:
            title = f"Student: not trained here, line at {self.line.value:.1f} %"
        return draw.students(
            self.points, self.bench.control(), now=self.ratio, line=self.line, title=title, bench=self.bench
        )

    # Label.

    def sentence(self) -> str:
        """What goes, what the teacher still knows, what its student learns."""
        return f"{self._gone()} {self._teacher_said()} {self._student_said()}"

    def _gone(self) -> str:
        gone, d = self.bench.removed(self.ratio), self.bench.channels
        if gone == 0:
            return f"None of the {d} channels is removed."
        return f"{gone} of {d} channels are removed, {GO[self.ranking]}."

    def _teacher_said(self) -> str:
        n = len(self.here)
        said = f"The teacher reaches {mean_interval(self.here).show()} % ({n} seed{'s' if n > 1 else ''})"
        if self.bench.removed(self.ratio) == 0:
            return f"{said}."
        than = {1: "more than after", 0: "not shown to differ from", -1: "less than after"}[self.against.side]
        return f"{said}, {than} {_OTHER[self.beside]}: {self.against.show(signed=True)} points."

    def _untrained(self) -> str:
        if not self.points[self.ranking]:
            return "Its student is not trained yet."
        return "Its student is not trained here, and not on both sides of here: nothing is guessed."

    def _student_said(self) -> str:
        student, control = self.student, self.control
        if student is None:
            line = self.line
            if line is None:
                return self._untrained()
            return (
                f"Its student is not trained here; the straight line between {line.low:.0%} and "
                f"{line.high:.0%} is at {line.value:.1f} %."
            )
        said = f"Its student, trained here, reaches {mean_interval(student).show()} %"
        if control is None:
            return f"{said}."
        gain = paired_interval(student, control)
        side = {1: "better than", 0: "not shown to differ from", -1: "worse than"}[gain.side]
        return f"{said}, {side} one without a teacher: {gain.show(signed=True)} points."

    # Numbers.

    def numbers(self) -> dict[str, Numbers]:
        """What pinned states are compared by."""
        found = {
            "teacher (%)": self.here,
            "channels removed": np.array([float(self.bench.removed(self.ratio))]),
        }
        for name, values in (("student (%)", self.student), ("student without a teacher (%)", self.control)):
            if values is not None:
                found[name] = values
        return found

    def table(self) -> pd.DataFrame:
        """One row per network of this state: its arm, role and seed, and its test accuracy in percent."""
        seeds, data = self.bench.seeds, self.bench.experiment.data.name
        found = [
            ("teacher", ARM[one], dict(zip(seeds, c[self.ratio], strict=True)))
            for one, c in self.curves.items()
        ]
        found += [("student", ARM[one], dict(c.get(self.ratio, {}))) for one, c in self.points.items()]
        found.append(("student", CONTROL, dict(self.bench.control())))
        rows = [
            (repair.NAME, data, arm, role, seed, "test", "accuracy", float(value), self.ratio)
            for role, arm, values in found
            for seed, value in values.items()
        ]
        return pd.DataFrame(rows, columns=[*COLUMNS, "ratio"])


def _whole(found: BySeed, seeds: int) -> Numbers | None:
    return np.array([found[seed] for seed in sorted(found)]) if len(found) == seeds else None
