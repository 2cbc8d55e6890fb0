"""What each modality tells: linear, kernel and small-network probes, and a network that loses modalities."""

from __future__ import annotations

from mmkd_lab.experiments.plain import KERNEL, LINEAR
from mmkd_lab.models import View
from mmkd_lab.plotting import LabFigure, Panel, Row, interval_figure
from mmkd_lab.plotting.palette import ALL, NEUTRAL, STUDENT, TEACHER
from mmkd_lab.study.diagnosis.case import Case, Said, names_of
from mmkd_lab.study.diagnosis.finding import SectionFound, listed, scored
from mmkd_lab.study.diagnosis.fits import NETWORK

#: Roles: the network that sees everything, and the same with all but one modality gone.
SEES_ALL, MISSING = "network of all", "network of all, one left"


def tells(case: Case, found: SectionFound) -> None:
    """Probes of the teacher's modality, the student's, and all together."""
    a, b, every = case.teacher, case.student, tuple(sorted(case.data.modalities))
    for names in ((a,), (b,), every):
        for classifier, said in case.classified(names).items():
            scored(found, names_of(names), f"{classifier}", {0: said}, case.data)
    for name in (a, b):
        scored(found, name, NETWORK, case.answers(case.small(name)), case.data)
    scored(found, "teacher", "teacher", case.said(case.teachers()), case.data)
    _, outputs = case.everything()
    scored(found, names_of(every), SEES_ALL, case.said(outputs), case.data)
    index = case.data.sample_index[case.data.positions(case.split)].cpu()
    for name in every:
        left: Said = {}
        for seed, one in outputs.items():
            views = {view.label: logits for view, logits in one.rows(index).views.items()}
            left[seed] = views[_alone(name)][0].cpu()
        scored(found, name, MISSING, left, case.data)
    found.says += _says(case, found)
    found.figures.append(_figure(case, found))


def _alone(name: str) -> str:
    return View.only(name).label


def _says(case: Case, found: SectionFound) -> list[str]:
    a, b, both = case.teacher, case.student, names_of(tuple(sorted(case.data.modalities)))
    metric, said = case.metric, list[str]()
    if found.has(a, metric, LINEAR):
        linear = {name: found.get(name, metric, LINEAR) for name in (a, b, both)}
        shown = listed([f"{name} {value.show(digits=1)}" for name, value in linear.items()])
        over = f"{linear[a].n} samples" if case.data.group is None else "groups of samples"
        said.append(f"By {LINEAR}, {shown} ({case.unit}; intervals over {over}).")
    networks = {name: found.get(name, metric, NETWORK) for name in (a, b)}
    shown = listed([f"{name} {value.show(digits=1)}" for name, value in networks.items()])
    teacher = found.get("teacher", metric, "teacher")
    full = found.get(both, metric, SEES_ALL)
    said.append(
        f"By small networks, {shown}; the teacher reaches {teacher.show(digits=1)}, and a network of all "
        f"modalities {full.show(digits=1)}."
    )
    left = {name: found.get(name, metric, MISSING) for name in sorted(case.data.modalities)}
    shown = listed([f"{value.show(digits=1)} with {name} alone" for name, value in left.items()])
    said.append(f"When the other modalities go, that network keeps {shown}.")
    return said


def _figure(case: Case, found: SectionFound) -> LabFigure:
    a, b, every = case.teacher, case.student, sorted(case.data.modalities)
    both = names_of(every)
    colours = {a: TEACHER, b: STUDENT, both: ALL}
    rows = [Row(one, one, colours.get(one, NEUTRAL)) for one in dict.fromkeys([a, b, *every, both])]
    panels = []
    for title, roles in (
        ("Linear probe", (LINEAR,)),
        ("RBF SVM", (KERNEL,)),
        ("Network", (NETWORK, SEES_ALL)),
        ("Network of all,\nthe others gone", (MISSING,)),
    ):
        entries = {
            row.key: found.drawn(row.key, case.metric, role)
            for row in rows
            for role in roles
            if found.has(row.key, case.metric, role)
        }
        if entries:
            panels.append(Panel(title, case.unit, entries, scale="score", digits=1))
    title = f"{case.data.name}: what {a}, {b} and both tell"
    note = (
        f"{case.split} samples. Lines: 95 % intervals, of probes over samples, of networks over seeds (dots)."
    )
    return interval_figure(rows, panels, title=title, note=note)
