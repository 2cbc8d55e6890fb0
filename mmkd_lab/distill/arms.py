"""The arms of a study: who teaches, and with which loss. The one place where arms are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmkd_lab.core.check import flat, one_of, require


@dataclass(frozen=True)
class Arm:
    """One way to train the student.

    Args:
        name: the key used in code, tables and files.
        label: what figures and sentences call it.
        teacher: what the teacher sees: 'none', 'student' (the student's own modality), 'other' (the teacher
            modality) or 'all'.
        ce: whether the student also learns from the labels.
        meaning: one sentence.
    """

    name: str
    label: str
    teacher: str
    ce: bool
    meaning: str


_ALL = (
    Arm("no_kd", "no KD", "none", True, "The student learns from the labels alone."),
    Arm("um_kd", "unimodal KD", "student", True, "The teacher sees the student's own modality."),
    Arm("cm_kd", "crossmodal KD", "other", True, "The teacher sees the other modality only."),
    Arm("mm_kd", "multimodal KD", "all", True, "The teacher sees every modality."),
    Arm("kl_only", "crossmodal KL only", "other", False, "The crossmodal teacher alone, without labels."),
)

ARMS: dict[str, Arm] = {arm.name: arm for arm in _ALL}

#: Teachers of the other modality after MFH's repair: trained jointly with a student (Algorithm 1, step 1),
#: and but for the first two with only some of their channels left. Source: Xue et al. 2023, section 4; the
#: control without agreement is this lab's own.
_REPAIRED = (
    Arm(
        "unaligned_kd",
        "unaligned KD",
        "other",
        True,
        "Control: trained by the recipe of joint training, without the term that makes two outputs agree.",
    ),
    Arm("aligned_kd", "aligned KD", "other", True, "The teacher was trained jointly with a student."),
    Arm("mg_kd", "modality-general KD", "other", True, "It keeps its most modality-general channels."),
    Arm("ms_kd", "modality-specific KD", "other", True, "It keeps its least modality-general channels."),
    Arm("random_kd", "random-channel KD", "other", True, "It keeps channels drawn at random."),
    Arm("weight_kd", "|W|-ranked KD", "other", True, "It keeps the channels its head weighs most."),
    Arm("oracle_kd", "oracle KD", "other", True, "It keeps the channels declared to be modality-general."),
)

REPAIRS: dict[str, Arm] = {arm.name: arm for arm in _REPAIRED}
#: Those that lose no channel.
WHOLE = ("unaligned_kd", "aligned_kd")

#: Students that read every modality, as their larger teacher does. Source of the MSD arms: Jin et al. 2021;
#: the controls are this lab's own; the other methods have theirs in their modules.
_MSD = (
    ARMS["no_kd"],
    Arm("kd", "KD", "all", True, "The student mimics the teacher on the full input."),
    Arm("kd_drop", "KD + modality drop", "all", True, "Control: KD while the student loses modalities."),
    Arm(
        "kd_views",
        "KD on all views",
        "all",
        True,
        "Control: MSD's views, but the target is of the full input.",
    ),
    Arm("msd_uniform", "MSD uniform", "all", True, "KD and one term per modality, all weights 1."),
    Arm("msd_population", "MSD population", "all", True, "A modality weighs by its mean saliency."),
    Arm("msd_instance", "MSD by instance", "all", True, "A modality weighs by its saliency for the sample."),
    Arm("msd_global", "MSD learned", "all", True, "One weight a modality, learned on samples set aside."),
    Arm("msd_learned", "MSD learned by instance", "all", True, "A small network learns to weigh samples."),
    Arm("msd_shuffled", "MSD shuffled weights", "all", True, "Control: weights of another sample."),
    Arm("msd_wrong", "MSD wrong weights", "all", True, "Control: weights of the next modality."),
    Arm("fitnet", "FitNet", "all", True, "KD and hints: features through a learned map."),
    Arm("rkd", "RKD", "all", True, "KD and distances and angles between samples."),
    Arm("sp", "SP", "all", True, "KD and similarities between samples."),
    Arm("gram", "modality Gram", "all", True, "KD and relations between the views of a sample."),
    Arm("dkd", "DKD", "all", True, "Decoupled KD in the place of KD."),
    Arm("dist", "DIST", "all", True, "Correlations of outputs in the place of KD."),
    Arm("telme", "TelME", "all", True, "DIST and a feature loss in the place of KD."),
    Arm("multi_teacher", "several teachers", "all", True, "KD from this teacher and one per modality."),
    Arm("pruned", "pruned teacher", "all", True, "The teacher pruned to this size: twice the steps."),
)

MSD_ARMS: dict[str, Arm] = {arm.name: arm for arm in _MSD}


def arms(names: Sequence[str], *, known: Mapping[str, Arm] = ARMS) -> tuple[Arm, ...]:
    """The arms of these names among `known`. Raises `LabError` for an unknown, repeated or missing name."""
    listed = flat("arms", names, "a list of at least one arm", f"For example {list(known)[:2]}.")
    require(len(listed) > 0, "arms", names, "must be a list of at least one arm")
    for name in listed:
        one_of("arms", name, list(known))
    require(len(set(listed)) == len(listed), "arms", names, "must not name an arm twice")
    return tuple(known[str(name)] for name in listed)
