"""What if: move a slider, see at once what it does to the diagram, to the teacher and to the student.

    whatif.world(gamma=0.4).show()          a panel in JupyterLab; its static twin where MMKD_LAB_STATIC=1
    whatif.world(gamma=0.4).answer()        the same as numbers, pictures and a sentence
    whatif.repair("av_digits").show()       a teacher without some of its channels, and its student
    whatif.msd("shapes_vl").show()          students by KD and by MSD, and any sample with modalities removed
    study.explore().show()                  any study, saved or fresh, as a panel
    whatif.open("world?gamma=0.4").show()   from the link that a panel prints

Laboratories know no widgets; panels know no science.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmkd_lab.core.check import of_type, one_of
from mmkd_lab.whatif.answer import Answer, Progress, compare
from mmkd_lab.whatif.explore import ExploreLaboratory, explore
from mmkd_lab.whatif.explore_cut import ExploreState
from mmkd_lab.whatif.model import Action, Control, Laboratory
from mmkd_lab.whatif.msd import MsdLaboratory, msd_laboratory
from mmkd_lab.whatif.msd_state import MsdState
from mmkd_lab.whatif.repair import RepairLaboratory
from mmkd_lab.whatif.repair_state import RepairState, opened
from mmkd_lab.whatif.scene import Scene
from mmkd_lab.whatif.world import WorldLaboratory
from mmkd_lab.whatif.world_state import WorldState, world_state

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData
    from mmkd_lab.experiments.store import ResultStore
    from mmkd_lab.study.repair import RepairStudy

__all__ = [
    "Action",
    "Answer",
    "Control",
    "ExploreLaboratory",
    "ExploreState",
    "Laboratory",
    "MsdLaboratory",
    "MsdState",
    "Progress",
    "RepairLaboratory",
    "RepairState",
    "Scene",
    "WorldLaboratory",
    "WorldState",
    "compare",
    "explore",
    "msd",
    "open",
    "repair",
    "world",
]


def world(**state: Any) -> WorldLaboratory:  # noqa: ANN401 - the fields of WorldState
    """Worlds by their shares: what KD is worth in them. Raises `LabError` for fields unfit for `WorldState`.

    Of alpha, beta and gamma those that are not given fill up in proportion.
    """
    return WorldLaboratory(world_state(**state))


def repair(
    data: str | PairedData | RepairStudy = "av_digits",
    *,
    store: ResultStore | None = None,
    **given: Any,  # noqa: ANN401 - see below
) -> RepairLaboratory:
    """A teacher without some of its channels: what it still knows, and what its student learns.

    Args:
        data: a data set of the lab by name, paired data of your own, or a finished repair study: its data,
            networks and settings.
        store: where results are found and kept; the default one when None.
        given: fields of `RepairState`, and options of `study.repair_teachers`, such as `student_model`.

    Raises `LabError` for other data, an argument that does not exist, or a study that was loaded and holds no
    networks.
    """
    return RepairLaboratory(*opened(data, given, store))


def msd(
    data: str | PairedData = "shapes_vl",
    *,
    store: ResultStore | None = None,
    **state: Any,  # noqa: ANN401 - the fields of MsdState
) -> MsdLaboratory:
    """KD against one scheme of MSD, and any test sample with some of its modalities removed.

    Args:
        data: 'shapes_vl', 'av_digits' or paired samples of your own.
        store: where networks are found and kept; the default one when None.
        state: fields of `MsdState`.

    Raises `LabError` for other data, or fields unfit for `MsdState` or for the data.
    """
    return msd_laboratory(data, store, state)


def open(link: str) -> Laboratory[Any]:
    """The laboratory of a link such as 'world?gamma=0.4'. Raises `LabError` for a link of none."""
    name = of_type("link", link, str, "text such as 'world?gamma=0.4'").strip().partition("?")[0]
    every: tuple[Callable[[], Laboratory[Any]], ...] = (explore, msd, repair, world)
    known = {make.__name__: make for make in every}
    one_of("link", name, known)
    found = known[name]()
    found.state = found.restore(link)
    return found
