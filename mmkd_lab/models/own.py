"""Your own network in the lab: any module that takes {modality: tensor} and gives logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mmkd_lab.core.check import LabError, flat, listing, of_type, require
from mmkd_lab.models.removal import VALUES, modality_names


class OwnNet(nn.Module):
    """An adapter around a module of your own, so that replicas, `fit` and `evaluate` can use it.

    Args:
        module: takes {modality: (B, ...)} and gives logits (B, K), or (B, K, H, W) for a dense task.
        modalities: those it reads; None to hand it all that the dataset has.
        head: the dotted name of the submodule whose input counts as the features, for `Replicas.features`.

    Raises:
        LabError: a module that is none, or a head that it does not have. In use: a removal by attention mask
            or by learned stand-in, of which the lab cannot know whether your module heeds it.
    """

    def __init__(
        self, module: nn.Module, *, modalities: Sequence[str] | None = None, head: str | None = None
    ) -> None:
        super().__init__()
        require(isinstance(module, nn.Module), "module", type(module).__name__, "must be a torch.nn.Module")
        self.module = module
        self.modalities = None if modalities is None else _names(modalities)
        self.head_name = head
        known = [name for name, _ in module.named_modules() if name]
        if head is not None and head not in known:
            raise LabError("head", head, f"must be one of {listing(known)}")

    @property
    def removals(self) -> tuple[str, ...]:
        """The names of the removals that this network can do: those that replace values."""
        return VALUES

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> logits (B, K)."""
        self._refuse_masks(x)
        names = modality_names(x)
        out: Tensor = self.module({name: x[name] for name in self.modalities or names})
        return out

    def _refuse_masks(self, x: Mapping[str, Tensor]) -> None:
        masks = sorted(set(x) - set(modality_names(x)))
        rule = "this network does not know what to do with these masks"
        require(not masks, "removal", masks, rule, f"Use {listing(self.removals)}.")

    def features(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> (B, F): what reaches the head."""
        if self.head_name is None:
            raise LabError(
                "head", None, "name the head's submodule to get features", "OwnNet(module, head='fc')."
            )
        caught: list[Tensor] = []
        hook = self.module.get_submodule(self.head_name).register_forward_pre_hook(
            lambda _, inputs: caught.append(inputs[0])
        )
        try:
            self.forward(x)
        finally:
            hook.remove()
        require(
            len(caught) == 1, "head", self.head_name, f"must run once per call, and ran {len(caught)} times"
        )
        return caught[0]


def _names(modalities: object) -> tuple[str, ...]:
    listed = flat("modalities", modalities, "a sequence of names or None", "For example ('image',).")
    return tuple(sorted(of_type("modalities", name, str, "names") for name in listed))
