"""Teachers that are no networks: what people or a large model answered, sample by sample, as a teacher."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, one_of, real, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.answer_quality import (
    Agreement,
    agreement,
    best_temperature,
    judged,
    opinion_threshold,
    reliability_bins,
    share,
)
from mmkd_lab.distill.answer_table import AnswerRows, Unknown, Values, read_rows
from mmkd_lab.distill.operands import logits_pair
from mmkd_lab.distill.teacher_outputs import TeacherOutputs

if TYPE_CHECKING:
    import pandas as pd

Several = Literal["mean", "majority"]
#: What is told of a filter and a split.
_FILTER = (
    "The filter keeps {kept:,} of {answered:,} {split} answers: {precision:.1f} % [{precision_low:.1f}, "
    "{precision_high:.1f}] of them right, {before:.1f} % before, with {recall:.1f} % [{recall_low:.1f}, "
    "{recall_high:.1f}] of the right ones."
)


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers as a teacher, what they cover and how good they are. A study takes them for `teacher_model`.

    Args:
        outputs: what a student is taught, one row for each sample that has an answer.
        data: the samples that they are about.
        counts: (N, K), how many answers name each class, by sample as in `outputs`.
        notes: what was done with them, in sentences.
        filtered: what a filter let through, by split: answered, kept; percent right before and of the kept
            (precision), and how much of the right is kept (recall), with Wilson's intervals.
    """

    outputs: TeacherOutputs
    data: PairedData = field(repr=False)
    counts: Tensor
    notes: tuple[str, ...] = ()
    filtered: pd.DataFrame | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a split: split, samples, answered; against the labels of these: accuracy, nll and ece, with
        their intervals, see `answer_quality.judged`."""
        import pandas as pd

        rows = []
        for split, (answered, samples) in self.outputs.coverage(self.data).items():
            rows.append({"split": split, "samples": samples, "answered": answered})
            rows[-1] |= judged(*self._in(split), self.data.task) if answered else {}
        return pd.DataFrame(rows)

    @cached_property
    def agreement(self) -> Agreement | None:
        """Between several answers to one sample; None where there are none. Of probabilities and logits, the
        most probable class is the answer."""
        return agreement(self.counts)

    @cached_property
    def reliability(self) -> pd.DataFrame:
        """Confidence and the share that is right, by split and bin, see `answer_quality.reliability_bins`."""
        import pandas as pd

        known = [split for split, (n, _) in self.outputs.coverage(self.data).items() if n]
        bins = [reliability_bins(*self._in(one), self.data.task).assign(split=one) for one in known]
        return pd.concat(bins, ignore_index=True)

    @cached_property
    def temperature(self) -> float | None:
        """By what their logits would best be divided, by the labels of the validation split: advice, nothing
        is changed. None without validation answers, or where every one of them is right."""
        answered = self.outputs.coverage(self.data).get("val", (0, 0))[0]
        return best_temperature(*self._in("val"), self.data.task) if answered else None

    def filter(self, by: Answers | TeacherOutputs, *, threshold: float | None = None) -> Answers:
        """Those that a second opinion accepts: it gives the answer's class a probability of at least the
        threshold. Generate, filter, teach: the shape of MIND (arXiv 2406.10701), where a large model filters.

        Args:
            by: other answers, a network's outputs (`training.teacher_outputs`; the mean of several), or these
                answers themselves, by their own confidence. What it has not answered is rejected. A network
                that was trained on the labels knows them: on its training samples it is no second opinion.
            threshold: in (0, 1]. None: chosen on validation answers, see `answer_quality.opinion_threshold`.

        Raises `LabError` for another task than single label, an opinion about other data, no validation
        answers to choose the threshold by, or a filter that leaves no training sample.
        """
        import pandas as pd

        data, out = self.data, self.outputs
        require(data.task is Task.SINGLE_LABEL, "task", data.task.value, "a filter is for a single label")
        given = out.logits[0].argmax(-1)
        other = by.outputs if isinstance(by, Answers) else by
        of_type("by", other, TeacherOutputs, "answers or outputs")
        other = TeacherOutputs(other.index, other.logits, identity=other.identity, partial=True)
        said = other.for_data(data).rows(out.index, lacking=True).logits.double().softmax(-1).mean(0)
        there = torch.isin(out.index, other.index)
        agrees = said.gather(1, given[:, None])[:, 0] * there
        right, notes = given == out.targets(data), list(self.notes)
        if threshold is None:
            at = there & self._where("val") if "val" in data.splits else there & False
            rule = "must be given, for example 0.5: no validation sample has both"
            require(bool(at.any()), "threshold", None, rule)
            threshold = max(opinion_threshold(agrees[at], right[at]), 1e-300)  # a sure network rounds to 0
            of = f"{int(at.sum()):,} validation answers, {int((at & ~right).sum()):,} of them wrong"
            notes.append(f"The filter's threshold, {threshold:.4g}, was chosen on {of}.")
        kept = agrees >= real("threshold", threshold, above=0.0, at_most=1.0)
        rows = []
        for split in data.splits:
            here = self._where(split)
            n, good, held, both = (int((here & one).sum()) for one in (here, right, kept, right & kept))
            shares = share("before", good, n) | share("precision", both, held) | share("recall", both, good)
            rows.append({"split": split, "answered": n, "kept": held, **shares})
            notes.append(
                _FILTER.format(**rows[-1]) if held else f"The filter keeps none of {n:,} {split} answers."
            )
        return replace(self._only(kept), filtered=pd.DataFrame(rows), notes=tuple(notes))

    def random_like(self, other: Answers, *, seed: int = 0) -> Answers:
        """The control of a filter: as many of these answers in each split as `other` has, drawn at random."""
        kept = torch.zeros(len(self.counts), dtype=torch.bool)
        for split, (many, _) in other.outputs.coverage(self.data).items():
            where = self._where(split).nonzero()[:, 0]
            require(many <= len(where), "other", many, f"must have at most {len(where)} answers in {split!r}")
            generator = torch.Generator().manual_seed(derive(seed, "random filter", split))
            kept[where[torch.randperm(len(where), generator=generator)[:many]]] = True
        return self._only(kept)

    def _only(self, kept: Tensor) -> Answers:
        require(bool(kept.any()), "threshold", "no answer left", "must leave answers")
        out = self.outputs
        left = TeacherOutputs(out.index[kept], out.logits[:, kept], identity=out.identity, partial=True)
        return Answers(left.for_data(self.data), self.data, self.counts[kept], self.notes)

    def _where(self, split: str) -> Tensor:
        """(N,) which of the answered samples are of a split."""
        return torch.isin(self.outputs.index, self.data.sample_index[self.data.positions(split)].cpu())

    def _in(self, split: str) -> tuple[Tensor, Tensor]:
        """Logits (n, K) and labels of the answered samples of a split."""
        here = self._where(split)
        return self.outputs.logits[0, here], self.outputs.targets(self.data)[here]

    def __repr__(self) -> str:
        covers = [f"{one.answered:,} of {one.samples:,} {one.split}" for one in self.table.itertuples()]
        told = [f"Answers about {self.data.name}: {', '.join(covers)} samples."]
        for one in self.table[self.table["answered"] > 0].itertuples():
            right = f"{one.accuracy:.1f} % [{one.accuracy_low:.1f}, {one.accuracy_high:.1f}] right, "
            right = right if self.data.task is Task.SINGLE_LABEL else ""
            ece = f"{one.ece:.1f} points [{one.ece_low:.1f}, {one.ece_high:.1f}]"
            told.append(f"On {one.split}: {right}nll {one.nll:.2f}, calibration error {ece}.")
        if self.temperature is not None:
            told.append(f"Their logits fit the validation labels best divided by {self.temperature:.2g}.")
        if (seen := self.agreement) is not None:
            alpha = f"{seen.alpha:.2f} [{seen.low:.2f}, {seen.high:.2f}]"
            many = f"{seen.answers:,} answers to {seen.samples:,} samples"
            told.append(f"{many}: {seen.raw:.1f} % of pairs agree, Krippendorff's alpha {alpha}.")
        return "\n".join([*told, *self.notes])


def read_answers(
    source: str | Path | pd.DataFrame,
    data: PairedData,
    *,
    values: Values | None = None,
    several: Several | None = "mean",
    unknown: Unknown = "refuse",
    floor: float = 1e-4,
) -> Answers:
    """A teacher from a table of answers: complete or not, one or several for a sample.

        said = distill.read_answers("answers.csv", pair, unknown="no answer")
        print(said)  # how many, how good, whether they agree
        print(study.failure_cases(pair, student="sensors", teacher_model=said).verdict)

    Args:
        source: a data frame, or a csv, parquet, npz (one array a column) or json lines file, text in UTF-8. A
            column called id, index, sample_index or sample says which sample: by `data.ids` where the data
            have them, else by the sample index. Then either one column for each class, in any order; or one
            called label, answer or prediction, a row (or a list) for each answer, and, if you like, one named
            probability, confidence or score of that label: what is left of 1 goes to the classes that no row
            of the sample names. Labels and classes are matched as they are written, else without regard to
            case, white space, quotes and stops, where that names one class alone. No label is no answer.
        data: the samples and classes that it is about.
        values: what the table holds. None: labels, where there is such a column; probabilities, where all
            values lie between 0 and 1 and (but for multi-label) sum to 1; logits, where some are below 0. Of
            'probabilities' that were rounded the sums become 1.
        several: of several answers to one sample: 'mean', of probabilities and labels as shares, of logits as
            logits; 'majority', the class that most of them name, ties shared (not of logits); None refuses.
        unknown: 'refuse' labels that are no class, or take them for 'no answer' and count them.
        floor: see `soft_label_logits`, which makes logits of probabilities and labels.

    A student learns from the answers that there are: a term that reads the teacher is 0 for a sample without
    one, see `Distillation`.

    Raises `LabError` for a file that cannot be read, a sample, label or column that the data do not have, a
    class without a column, values that are no finite numbers or of no clear kind, no training answer.
    """
    of_type("data", data, PairedData, "a PairedData")
    rows = read_rows(source, data, values=values, unknown=unknown)
    named = rows.kind != "logits" and data.task is Task.SINGLE_LABEL
    one_of("several", several, [None, "mean", *(["majority"] if named else [])])
    index, slot = torch.unique(rows.index, return_inverse=True)
    many = torch.bincount(slot)
    twice, rule = index[many > 1].tolist(), "must not answer for a sample twice"
    allowed = several is not None or not twice
    require(allowed, "source", f"samples {twice[:3]}", rule, "Or say how: several='mean'.")
    counts, mean = _merged(rows, slot, len(index))
    if several == "majority":
        most = (counts == counts.amax(1, keepdim=True)).double()
        mean = torch.where((many > 1)[:, None], most / most.sum(1, keepdim=True), mean)
    if rows.kind != "logits":
        mean = soft_label_logits(mean, floor=floor, task=data.task)
    train = torch.isin(data.sample_index[data.positions("train")].cpu(), index)
    rule = f"must answer for a sample of the split 'train' of {data.name}"
    require(bool(train.any()), "source", f"{len(index)} samples", rule)
    partial = not bool(train.all())
    outputs = TeacherOutputs(index, mean.float()[None], identity=data.identity, partial=partial)
    if data.task is not Task.SINGLE_LABEL:
        counts = torch.zeros_like(counts)
    return Answers(outputs.for_data(data), data, counts, rows.notes)


def _merged(rows: AnswerRows, slot: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """(N, K) twice, in double precision: how many answers name each class, and the mean of what they say."""
    named = torch.eye(rows.said.shape[1], dtype=torch.float64)[rows.said.argmax(1)]
    empty = torch.zeros(samples, rows.said.shape[1], dtype=torch.float64)
    counts, total = (empty.clone().index_add_(0, slot, one) for one in (named, rows.said))
    return counts, total / torch.bincount(slot)[:, None]


def soft_label_logits(
    probabilities: Tensor, *, floor: float = 1e-4, task: Task = Task.SINGLE_LABEL
) -> Tensor:
    """Logits of a teacher that is not there, only its soft labels (votes, or what a large model wrote down).

    A probability p is first moved to (1 - floor) · p + floor / K (multi-label: floor / 2), since log 0 is no
    logit; at temperature 1 the logits give exactly that law, at higher ones a softer one. Probabilities are
    (..., K), dense (..., K, H, W), that sum to 1; multi-label: each in [0, 1]. Raises `LabError` for values
    outside [0, 1] or sums that are not 1 within 0.001.
    """
    real("floor", floor, above=0.0, at_most=0.999)
    p, _, classes = logits_pair(probabilities, probabilities, task)
    inside, shown = bool(((p >= 0) & (p <= 1)).all()), f"{float(p.min()):g} to {float(p.max()):g}"
    require(inside, "probabilities", shown, "must lie between 0 and 1")
    if task is Task.MULTI_LABEL:
        return ((1 - floor) * p + floor / 2).logit()
    worst = float((p.sum(dim=classes) - 1).abs().max())
    require(worst <= 1e-3, "probabilities", f"a sum that is {worst:g} off", "must sum to 1 over the classes")
    return ((1 - floor) * p + floor / p.shape[classes]).log()


def simulate_answers(
    data: PairedData, *, right: float = 0.8, coverage: float = 0.6, votes: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Answers of which it is known how many are false, as a table for `read_answers`: id, rater, label.

    Of each split the share `coverage` is answered, by `votes` raters; every answer is right with probability
    `right`, else each other class is as likely. Raises `LabError` for another task than single label, or
    shares out of range.
    """
    import pandas as pd

    require(data.task is Task.SINGLE_LABEL, "task of data", data.task.value, "must be a single label")
    real("right", right, at_least=0.0, at_most=1.0)
    real("coverage", coverage, above=0.0, at_most=1.0)
    whole("votes", votes)
    generator, parts = torch.Generator().manual_seed(derive(seed, "simulated answers")), []
    ids = data.ids or data.sample_index.tolist()
    for where in data.splits.values():
        drawn = torch.randperm(len(where), generator=generator)[: max(1, round(coverage * len(where)))]
        true = data.target[where[drawn]].cpu()[:, None].expand(-1, votes)
        other = true + torch.randint(1, data.num_classes, true.shape, generator=generator)
        fine = torch.rand(true.shape, generator=generator) < right
        said = torch.where(fine, true, other % data.num_classes)
        for i, labels in zip(where[drawn].tolist(), said.tolist(), strict=True):
            parts += [(ids[i], rater, data.classes[label]) for rater, label in enumerate(labels)]
    return pd.DataFrame(parts, columns=["id", "rater", "label"])
