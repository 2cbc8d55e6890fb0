"""What is said of KD against MSD, and what a reader must know of a comparison beside its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mmkd_lab.data.task import META
from mmkd_lab.experiments import summary
from mmkd_lab.experiments.claims import Claim, called, claim, headline, label, ordered, sentence, unit_of
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.tuning import TUNING, Tried, at_the_end

#: The arm that stands for MSD's terms as such, and the one that stands for weighing them: the first of these
#: that was trained.
PLAIN = ("msd_uniform", "msd_instance", "msd_population", "msd_global", "msd_learned")
WEIGHED = ("msd_instance", "msd_population", "msd_global", "msd_learned")
#: Controls of the terms, the closest first, and of the weights.
CONTROLS = ("kd_views", "kd_drop")
SHUFFLED = ("msd_shuffled", "msd_wrong")
FULL = "on the full input"


def stands_for(table: pd.DataFrame) -> tuple[str, str | None] | None:
    """(the arm for the terms, the arm for weighing them or None); None where no MSD was trained."""
    students = set(table[table["role"] == "student"]["arm"])
    plain = next((arm for arm in PLAIN if arm in students), None)
    if plain is None:
        return None
    return plain, next((arm for arm in WEIGHED if arm in students and arm != plain), None)


def claims(table: pd.DataFrame, *, views: Sequence[str], metric: str | None = None) -> list[Claim]:
    """MSD against KD on the full input and with a modality missing; there, against its controls, and weighed
    against equal weights and, where that is shown to matter, against the weights' own controls."""
    chosen = stands_for(table)
    if chosen is None:
        return []
    plain, weighed = chosen
    students = set(table[table["role"] == "student"]["arm"])
    gone = _gone(views)

    def of(arm: str, other: str, some: Sequence[str], where: str) -> Claim:
        return claim(table, arm, other, at={"view": list(some)}, where=where, metric=metric)

    found = [of(plain, "kd", views[:1], FULL), of(plain, "kd", views[1:], gone)]
    found += [of(plain, one, views[1:], gone) for one in CONTROLS if one in students]
    if weighed is not None and plain == "msd_uniform":
        found.append(of(weighed, plain, views[1:], gone))
        if found[-1].side > 0:
            found += [of(weighed, one, views[1:], gone) for one in SHUFFLED if one in students]
    return found


def verdict(table: pd.DataFrame, *, views: Sequence[str], removal: str, metric: str | None = None) -> str:
    """The verdict, every clause with its own numbers; the effect of the title is among them."""
    metric, n = metric or summary.primary_metric(table), table["seed"].nunique()
    plural = "s" if n > 1 else ""
    lead = f"On {table['dataset'].iloc[0]} ({n} seed{plural}, test {called(metric)}, removal by {removal})"
    some = claims(table, views=views, metric=metric)
    some += [one for one in _over_kd(table, views, metric)[:1] if one.side and one not in some]
    return (
        sentence(lead, some, digits=1, unit=unit_of(metric)) if some else f"{lead}, no MSD arm was trained."
    )


def title(table: pd.DataFrame, *, views: Sequence[str], metric: str | None = None) -> str:
    """The largest effect over KD that is shown, of any arm, on the full input or with modalities missing."""
    return headline(str(table["dataset"].iloc[0]), _over_kd(table, views, metric))


def _over_kd(table: pd.DataFrame, views: Sequence[str], metric: str | None) -> list[Claim]:
    """Every arm with a teacher against KD, controls among them; the largest shown effect first."""
    students = dict.fromkeys(table[table["role"] == "student"]["arm"])
    places = {FULL: list(views[:1]), _gone(views): list(views[1:])}
    return ordered(
        [
            claim(table, arm, "kd", at={"view": some}, where=where, metric=metric)
            for arm in students
            if arm not in ("kd", "no_kd")
            for where, some in places.items()
        ]
    )


def _gone(views: Sequence[str]) -> str:
    return "with a modality missing" if len(views) == 3 else "with modalities missing"


def notes(experiment: Experiment, tried: Sequence[Tried], table: pd.DataFrame) -> list[str]:
    """What a reader must know of a comparison beside its numbers; only what holds of this one."""
    data = experiment.data
    students = table[(table["role"] == "student") & (table["split"] == "test")]
    arms, views = students["arm"].nunique(), students["view"].nunique()
    train, meta = (len(data.positions(split)) for split in ("train", META))
    whole = ", whole groups of them," if data.group is not None else ""
    said = f"Every arm trains on {train} samples; {meta} more were set aside{whole}"
    if {"msd_global", "msd_learned"} & set(experiment.names):
        told = [f"{said} for learning weights, and their labels are seen by the learned arms alone."]
    else:
        told = [f"{said.removesuffix(',')} and are not used."]
    if arms > 1:
        told.append(
            f"{arms - 1} arms are compared with KD under {views} views: {views * (arms - 1)} intervals of "
            "95 %, not corrected for their number."
        )
    if experiment.config.tune:
        told.append(
            "Every method's strength was tuned for the full input: the best of five by the mean validation "
            f"score of {len(TUNING)} seeds that are not compared. The same split selects the epoch. What is "
            "best for the full input need not be best with a modality missing."
        )
    edge = at_the_end(tried)
    if edge:
        named = ", ".join(f"{name} {value:g}" for name, value in edge.items())
        told.append(f"Chosen from an end of the candidates, so that a better value may lie beyond: {named}.")
    if {"kd_views", "msd_uniform"} <= set(experiment.names):
        how = "chosen in the same way" if experiment.config.tune else "given"
        told.append(
            f"{label('kd_views')} has the views and weights of {label('msd_uniform')}; its target differs, "
            f"and its strength is its own, {how}."
        )
    if "pruned" in experiment.names:
        told.append(
            "The pruned teacher takes twice the steps of every other arm (search, then training) and starts "
            "from the trained teacher's weights."
        )
    if experiment.config.removal == "permutation":
        told.append("A teacher's word on a view is its mean over several draws; a student sees one draw.")
    return told
