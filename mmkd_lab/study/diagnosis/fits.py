"""Whether the networks of a diagnosis learn what plain classifiers do; where not, others are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mmkd_lab.core.calling_off import CalledOff
from mmkd_lab.core.progress import rough
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments.checks import Facts, Network, below_plain
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.lessons import Student, Teacher
from mmkd_lab.experiments.plain import LINEAR
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.tuning import TUNING, ranked, tried
from mmkd_lab.models import NetSpec
from mmkd_lab.study.diagnosis.case import OTHER, Case, Said
from mmkd_lab.study.diagnosis.finding import SectionFound, listed, scored
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.sources import source_of

NETWORK, PLAIN, TEACHER = "network", "classifier", "teacher"
#: Rate and decoupled weight decay of the recipes that are tried beside the one that falls behind.
RECIPES = ((3e-3, 1.0), (1e-3, 1.0), (3e-3, 10.0))
#: The seeds of what is tried: no seed of a comparison is among them.
SEEDS = TUNING[:2]
#: All are tried on one of them, in so small a part of the steps; then so many of them as long as any network.
SHORT, KEPT = 4, 2
LINEAR_NET = NetSpec(encoder="linear")


@dataclass(frozen=True)
class Role:
    """Whose network: 'student' or 'teacher', and the modality it reads."""

    who: str
    reads: str

    @property
    def role(self) -> str:
        """Its role in the table."""
        return TEACHER if self.who == "teacher" else NETWORK

    def of(self, experiment: Experiment, recipe: Recipe, *, linear: bool) -> Experiment:
        """The experiment with another recipe, and a linear network perhaps."""
        student = self.who == "student"
        changed = (
            replace(experiment, student_recipe=recipe)
            if student
            else replace(experiment, teacher_recipe=recipe)
        )
        if not linear:
            return changed
        argument = f"{self.who}_model"
        source = source_of(LINEAR_NET, argument=argument, data=experiment.data, modalities=(self.reads,))
        if student:
            return replace(changed, student=source)
        return replace(changed, teachers={**experiment.teachers, "other": source})

    def answers(self, case: Case, trial: Experiment | None = None, seeds: tuple[int, ...] = SEEDS) -> Said:
        """What its networks say: of the case, or of a trial under seeds that nothing else has."""
        if trial is None:
            return case.said(case.teachers()) if self.role == TEACHER else case.answers(case.untaught())
        plan = Plan(replace(trial, seeds=seeds), case.desk)
        if self.role == TEACHER:
            wanted = {seed: Teacher(OTHER, seed) for seed in seeds}
            plan.teach(wanted.values())
            return case.said({seed: plan.taught[one].said for seed, one in wanted.items()})
        students = [Student(ARMS["no_kd"], seed, {}, None) for seed in seeds]
        return case.answers(dict(zip(seeds, plan.students(students), strict=True)))


def fits(case: Case, found: SectionFound) -> None:
    """Student and teacher beside plain classifiers on their input; then other ways for who falls behind."""
    roles = [Role("student", case.student)]
    roles += [Role("teacher", case.teacher)] if case.experiment.teachers["other"].trains else []
    behind = dict[Role, float]()
    for role in roles:
        try:
            _one(case, found, role, behind)
        except CalledOff:
            if role.who == "student":
                raise
            found.says.append(f"The budget ended before it was known how the teacher reads {role.reads}.")
    for role, plain in behind.items():
        _retry(case, found, role, plain)


def _one(case: Case, found: SectionFound, role: Role, lag: dict[Role, float]) -> None:
    arm, name = f"{role.who} on {role.reads}", role.reads
    plain = {
        one: scored(found, f"{one} on {name}", PLAIN, {0: said}, case.data)
        for one, said in case.classified((name,)).items()
    }
    mine = scored(found, arm, role.role, role.answers(case), case.data)
    values = [float(str(row["value"])) for row in found.rows if row["arm"] == arm]
    means = {one: {case.split: value.mean} for one, value in plain.items() if one == LINEAR}
    networks = [Network({case.split: value}) for value in values]
    behind = below_plain(networks, Facts({}, {case.split: len(case.target())}, means))
    shown = listed([f"{one} {value.show(digits=1)}" for one, value in plain.items()])
    how = f"falls behind {LINEAR}" if behind else f"keeps up with {LINEAR}"
    found.says.append(
        f"On {name} the {role.who} reaches {mine.show(digits=1)} from labels alone"
        + (f" ({shown}): it {how}." if plain else "; no plain classifier serves this input.")
    )
    if behind and case.split != "val":
        found.says.append("Without a validation split nothing else is tried.")
    elif behind:
        lag[role] = plain[LINEAR].mean


def _retry(case: Case, found: SectionFound, role: Role, plain: float) -> None:
    """Other recipes and a linear network, chosen by validation data with seeds of their own."""
    experiment, data = case.experiment, case.data
    given: Recipe = getattr(experiment, f"{role.who}_recipe")
    tries = [(given, False)]
    tries += [(replace(given, optimiser="adamw", lr=r, weight_decay=d), False) for r, d in RECIPES]
    if data.modalities[role.reads].is_floating_point():
        tries += [(replace(given, lr=1e-2), True), (given, True)]
    cost = case.seconds(role.who) * (len(tries) / SHORT + KEPT + len(SEEDS) - 1)
    later = (
        f"Other ways to train the {role.who} take about {rough(cost)}: with a larger budget they are tried."
    )
    if case.desk.may_work and cost > case.left() / 2:  # the other sections want some of it
        found.says.append(later)
        return
    trials = [role.of(experiment, recipe, linear=linear) for recipe, linear in tries]
    try:
        short = [role.of(experiment, _short(r, case), linear=linear) for r, linear in tries]
        kept = _ranked(case, role, dict(enumerate(short)), SEEDS[:1])[:KEPT]
        chosen = _ranked(case, role, {i: trials[i] for i in kept}, SEEDS[:1])[0]
        answers = role.answers(case, trials[chosen], SEEDS)
    except CalledOff:  # what the section has found is worth keeping
        found.says.append(later)
        return
    recipe, linear = tries[chosen]
    what = f"{recipe.optimiser} at rate {recipe.lr:g} with weight decay {recipe.weight_decay:g}"
    what = f"a linear network by {what}" if linear else what
    free = experiment.config.recipe is None and f"{role.who}_model" not in case.calls
    many = f"Of {len(tries)} ways to train the {role.who}, by validation data and seeds of their own, "
    if (recipe, linear) == (given, False):
        found.says.append(f"{many}its own stays the best: what is missing, no other rate or decay brings.")
        return
    reached = scored(found, f"{role.who}, the best tried", role.role, answers, data)
    if free:
        case.use(trials[chosen])
        if linear:
            case.calls[f"{role.who}_model"] = f'{role.who}_model=models.NetSpec(encoder="linear")'
    found.says.append(
        f"{many}the best is {what}: {reached.show(digits=1)}. "
        + ("This page goes on with it. " if free else "You gave a network or a recipe: it stays. ")
        + (
            f"{LINEAR.capitalize()} still leads by {plain - reached.mean:.1f} points."
            * (plain > reached.mean)
        )
    )


def _short(recipe: Recipe, case: Case) -> Recipe:
    """A `SHORT`th of the steps."""
    steps = recipe.length(len(case.data.positions("train")))[1]
    return replace(recipe, epochs=None, min_steps=None, steps=max(1, steps // SHORT))


def _ranked(case: Case, role: Role, trials: Mapping[int, Experiment], seeds: tuple[int, ...]) -> list[int]:
    """Their numbers, the best first."""
    seen = [
        tried(role.who, float(i), trial, list(role.answers(case, trial, seeds).values()))
        for i, trial in trials.items()
    ]
    return [int(one.value) for one in ranked(seen)]
