"""The lab's own arms: the one place where they are named."""

from __future__ import annotations

from typing import Any

from mmkd_lab.distill.arms import Arm, Strength, TeacherKind, Term, register_arm
from mmkd_lab.distill.losses.msd import Msd

#: What the teacher modality alone carries, what the student's carries, what both share, what all together do.
TEACHER, STUDENT, SHARED, EVERYTHING = "#C85200", "#0072B2", "#00564D", "#5B1A6E"
#: MSD, its controls and the other methods have one colour each: their rows are labelled.
MSD, CONTROL, OTHER = "#9D004A", "#966E38", "#5E6CD7"

#: KD's share of the loss, beside the labels: Xue et al. 2023 (MFH) mix the two so; 0.5 is the starting value
#: of the open benchmark MST-Distill (Li et al. 2025).
SHARE = Strength("kd", 0.5, (0.1, 0.25, 0.5, 0.75, 0.9), tuned_on="kd")
LABELS, LESS_LABELS = Term("ce"), Term("ce", SHARE, complement=True)
MIXED = (LESS_LABELS, Term("kd", SHARE))
#: Modality dropout is chosen from these rates.
DROP = Strength("kd_drop", 0.3, (0.05, 0.1, 0.2, 0.3, 0.5))


def _factor(name: str, plain: float = 1.0, tuned_on: str | None = None) -> Strength:
    """A method's factor, chosen from as many multiples of the plain one."""
    return Strength(name, plain, tuple(plain * one for one in (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)), tuned_on)


def _arm(
    name: str,
    label: str,
    meaning: str,
    colour: str,
    teacher: TeacherKind | None,
    *loss: Term,
    **more: Any,  # noqa: ANN401 - further fields of Arm
) -> None:
    control = meaning.startswith("Control")
    register_arm(Arm(name, label, meaning, colour, teacher, loss, control=control, **more))


# Who teaches a student of one modality.
OWN, OTHERS, ALL = TeacherKind("student"), TeacherKind("other"), TeacherKind("all")
_arm("no_kd", "no KD", "The student learns from the labels alone.", "#737373", None, LABELS)
for name, label, meaning, colour, teacher in (
    ("um_kd", "unimodal KD", "The teacher sees the student's own modality.", STUDENT, OWN),
    ("cm_kd", "crossmodal KD", "The teacher sees the other modality only.", TEACHER, OTHERS),
    ("mm_kd", "multimodal KD", "The teacher sees every modality.", EVERYTHING, ALL),
):
    _arm(name, label, meaning, colour, teacher, *MIXED)
alone = "The crossmodal teacher alone, without labels."
_arm("kl_only", "crossmodal KL only", alone, "#6E2500", OTHERS, Term("kd"))

# Teachers of the other modality after MFH's repair: trained jointly with a student (Xue et al. 2023,
# Algorithm 1, step 1), and but for the first two with only some of their channels left (section 4).
without = "Control: trained by the recipe of joint training, without the term that makes two outputs agree."
_arm("unaligned_kd", "unaligned KD", without, "#000088", TeacherKind("other", "unaligned"), *MIXED)
for name, label, meaning, colour, ranking in (
    ("aligned_kd", "aligned KD", "The teacher was trained jointly with a student.", "#966E38", None),
    ("mg_kd", "modality-general KD", "It keeps its most modality-general channels.", SHARED, "general"),
    ("ms_kd", "modality-specific KD", "It keeps its least modality-general channels.", "#9D004A", "specific"),
    ("random_kd", "random-channel KD", "It keeps channels drawn at random.", "#2F4BE0", "random"),
    ("weight_kd", "|W|-ranked KD", "It keeps the channels its head weighs most.", "#CC00AA", "weight"),
    ("oracle_kd", "oracle KD", "It keeps the channels declared to be modality-general.", "#101010", "oracle"),
):
    _arm(name, label, meaning, colour, TeacherKind("other", "joint", ranking), *MIXED)

# Students that read every modality, as their larger teacher does. Source of the MSD arms: Jin et al. 2021;
# the controls are this lab's own; the other methods have theirs in their files.
_arm("kd", "KD", "The student mimics the teacher on the full input.", EVERYTHING, ALL, *MIXED)
losing = "Control: KD while the student loses modalities."
_arm("kd_drop", "KD + modality drop", losing, CONTROL, ALL, *MIXED, drop=DROP)
full = Term(Msd(weighting="uniform", target="full"), _factor("kd_views"))
views = "Control: MSD's views, but the target is of the full input."
_arm("kd_views", "KD on all views", views, CONTROL, ALL, *MIXED, full)
# They share one factor, tuned on equal weights, so that strength is not confounded with the scheme.
for name, label, meaning, colour in (
    ("uniform", "uniform", "KD and one term per modality, all weights 1.", MSD),
    ("population", "population", "A modality weighs by its mean saliency.", MSD),
    ("instance", "by instance", "A modality weighs by its saliency for the sample.", MSD),
    ("global", "learned", "One weight a modality, learned on samples set aside.", MSD),
    ("learned", "learned by instance", "A small network learns to weigh samples.", MSD),
    ("shuffled", "shuffled weights", "Control: weights of another sample.", CONTROL),
    ("wrong", "wrong weights", "Control: weights of the next modality.", CONTROL),
):
    weighed = Term(Msd(weighting=name), _factor("msd", tuned_on="msd_uniform"))  # type: ignore[arg-type]
    _arm(f"msd_{name}", f"MSD {label}", meaning, colour, ALL, *MIXED, weighed)
# SP's plain factor is 3,000 (Tung and Mori 2019); the inner weights of the others are the published ones.
for name, label, meaning, method, plain, beside in (
    ("fitnet", "FitNet", "KD and hints: features through a learned map.", "hints", 1.0, MIXED),
    ("rkd", "RKD", "KD and distances and angles between samples.", "rkd", 1.0, MIXED),
    ("sp", "SP", "KD and similarities between samples.", "sp", 3000.0, MIXED),
    ("gram", "modality Gram", "KD and relations between the views of a sample.", "gram", 1.0, MIXED),
    ("dkd", "DKD", "Decoupled KD in the place of KD.", "dkd", 1.0, (LABELS,)),
    ("dist", "DIST", "Correlations of outputs in the place of KD.", "dist", 1.0, (LABELS,)),
    ("telme", "TelME", "DIST and a feature loss in the place of KD.", "telme", 1.0, (LABELS,)),
):
    _arm(name, label, meaning, OTHER, ALL, *beside, Term(method, _factor(name, plain)))
several, said = TeacherKind("all", beside="each"), "KD from this teacher and one per modality."
_arm("multi_teacher", "several teachers", said, OTHER, several, LESS_LABELS, Term("multi_teacher", SHARE))
twice = "The teacher pruned to this size: twice the steps."
_arm("pruned", "pruned teacher", twice, OTHER, ALL, LABELS, start="pruned")
