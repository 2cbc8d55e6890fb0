"""What is asked of a method that has more to it than its name."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from torch import Tensor

from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.config import Count, config

#: The lab's own, then Captum's.
Nodes = Literal[
    "graded", "gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"
]
#: Along the last axes of a sample, or one for all axes but channels.
Sides = Count | tuple[Count, ...]


@config
class IntegratedGradients:
    """Gradients along the straight line from the removed input to the input.

    Args:
        steps: how many nodes the integral has. Each is one row per sample that passes through the network.
        nodes: where they lie on the path: 'graded' (most of them near the removed input), or one of Captum's,
            which lie evenly: 'gausslegendre', 'riemann_middle', ... By default 'graded', and at a layer,
            where there are Captum's only, 'gausslegendre'. On a network with a kink, such as a ReLU, both are
            off by up to the weight of a node: relu(relu(3) - 1 - relu(1)) gives its first input 1.5 in truth
            and with Captum's nodes, 1.551 with 'graded'.
        layer: the name of the embedding of a token modality (N, L), for maps within it.

    Raises `LabError` for nodes that are none, or that Captum does not have at a layer.
    """

    name: ClassVar[str] = "integrated_gradients"
    steps: Count = 64
    nodes: Nodes | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        one_of("nodes", self.path, get_args(Nodes)[0 if self.layer is None else 1 :])
        enough = self.steps > 1 or self.path != "riemann_trapezoid"
        require(enough, "steps", self.steps, "must be at least 2 for a trapezoid")

    @property
    def path(self) -> Nodes:
        """Where the nodes lie."""
        return self.nodes or ("graded" if self.layer is None else "gausslegendre")


@config
class Ablation:
    """One region after the other removed.

    Args:
        patch: sides of a region, see `grid`. Default: 1 for one axis (tokens, columns), 4 for maps.
        regions: (...) region numbers of one sample, instead of patches.
    """

    name: ClassVar[str] = "ablation"
    patch: Sides | None = None
    regions: Tensor | None = None

    def __post_init__(self) -> None:
        both = self.patch is not None and self.regions is not None
        require(not both, "patch", self.patch, "must not be given together with regions")


@config
class Occlusion:
    """A window slid over the sample; what is under it is removed.

    Args:
        patch: sides of the window, see `grid`. Default: 1 for one axis (tokens, columns), 4 for maps.
        stride: of the window; by default the patch, so that windows do not overlap.
    """

    name: ClassVar[str] = "occlusion"
    patch: Sides | None = None
    stride: Sides | None = None
