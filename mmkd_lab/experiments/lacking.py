"""What is told of data in which some samples lack a modality."""

from __future__ import annotations

from mmkd_lab.experiments.claims import joined
from mmkd_lab.experiments.experiment import Experiment


def lacking(experiment: Experiment) -> list[str]:
    """Which modalities are missing where, and what that means for students and teachers."""
    data = experiment.data
    if not data.present:
        return []
    lacks = [f"{name} in {int((~there).sum()):,}" for name, there in data.present.items()]
    how = f"It goes by {experiment.config.removal}."
    told = [f"Of {len(data):,} samples some lack a modality: {joined(lacks)}. {how}"]
    for sees in ("student", *(one for one in experiment.teachers if one != "student")):
        names = experiment.modalities[sees]
        blind = {split: int((~data.seen(names)[at]).sum()) for split, at in data.splits.items()}
        if any(blind.values()):
            where = joined([f"{blind[split]:,} of {len(at):,} {split}" for split, at in data.splits.items()])
            who = f"Networks of {' + '.join(names)}"
            how = "They are not trained on these, teachers say nothing there, students answer an empty input."
            told.append(f"{who} see nothing of {where} samples. {how}")
    return told
