"""What a network is, as plain values: enough to build it again, and to key a stored result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from mmkd_lab.base.check import LabError, one_of, require, whole

ENCODERS = ("auto", "lenet", "resnet", "mlp", "linear")
FUSIONS = ("late", "mid", "attention")


@dataclass(frozen=True)
class NetSpec:
    """One network architecture. JSON in and out by `as_dict` and `from_dict`.

    Args:
        encoder: one name for every modality, or {modality: name}. 'lenet' and 'resnet' read (C, H, W), 'mlp'
            and 'linear' read anything, flattened. 'auto' takes 'lenet' for three axes and 'mlp' for the rest.
        width: channels of the first convolution; an MLP's hidden layer has 8 * width units.
        features: F, the length of one encoder's output ('linear' keeps the input's own length).
        fusion: how modalities meet. 'late' concatenates features, 'mid' merges the encoders' first maps and
            goes on jointly, 'attention' lets one learned query attend over one token per modality.
        joint: units of a hidden layer after late fusion; 0 for none, so that the head alone reads the
            features.
        modalities: the ones this network reads, in any order; None for all that the dataset has.
        standardise: subtract the training mean and divide by the training deviation of each modality (one
            number for maps, one per entry for vectors). The numbers come from the training split alone.
        baseline: give the network one trainable stand-in per modality, for the 'learned' removal.

    Raises:
        LabError: an unknown encoder or fusion, a count out of range, or a modality that is named twice.
    """

    encoder: str | Mapping[str, str] | tuple[tuple[str, str], ...] = "auto"
    width: int = 8
    features: int = 32
    fusion: str = "late"
    joint: int = 0
    modalities: tuple[str, ...] | None = None
    standardise: bool = True
    baseline: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", _encoder(self.encoder))
        object.__setattr__(self, "modalities", _modalities(self.modalities))
        one_of("fusion", self.fusion, FUSIONS)
        whole("width", self.width)
        whole("features", self.features)
        whole("joint", self.joint, at_least=0)
        require(
            self.joint == 0 or self.fusion == "late",
            "joint",
            self.joint,
            f"a joint hidden layer belongs to late fusion, and fusion is {self.fusion!r}",
            "Use fusion='late' or joint=0.",
        )

    def encoder_of(self, modality: str) -> str:
        """The encoder's name for one modality; 'auto' when the mapping leaves it out."""
        if isinstance(self.encoder, str):
            return self.encoder
        return dict(self.encoder).get(modality, "auto")

    def reads(self, available: Iterable[str]) -> tuple[str, ...]:
        """The modalities read, sorted, out of those available. Raises `LabError` when one is not there."""
        names = sorted(available)
        for name in self.modalities or ():
            one_of("modalities", name, names)
        if not isinstance(self.encoder, str):
            for name in dict(self.encoder):
                one_of("encoder", name, names)
        return names_of(self.modalities or names)

    def on(self, *modalities: str) -> NetSpec:
        """The same architecture, reading these modalities."""
        return replace(self, modalities=modalities)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> NetSpec:
        """The spec that `as_dict` wrote. Raises `LabError` for an unknown field."""
        known = [field.name for field in fields(cls)]
        for name in values:
            one_of("field of NetSpec", name, known)
        given: dict[str, Any] = dict(values)
        if isinstance(given.get("encoder"), (list, tuple)):
            given["encoder"] = dict(given["encoder"])
        if isinstance(given.get("modalities"), list):
            given["modalities"] = tuple(given["modalities"])
        return cls(**given)


def names_of(modalities: Iterable[str]) -> tuple[str, ...]:
    """Sorted modality names: the order that networks, masks and files use."""
    return tuple(sorted(modalities))


def _encoder(value: object) -> str | tuple[tuple[str, str], ...]:
    if isinstance(value, str):
        one_of("encoder", value, ENCODERS)
        return value
    if not isinstance(value, (Mapping, tuple)):
        raise LabError("encoder", value, "must be a name or {modality: name}")
    pairs = tuple(sorted(dict(value).items()))
    for modality, name in pairs:
        one_of(f"encoder[{modality!r}]", name, ENCODERS)
    return pairs


def _modalities(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise LabError("modalities", value, "must be a sequence of names or None", "For example ('image',).")
    names = tuple(value)
    require(len(names) > 0, "modalities", value, "must name at least one modality")
    require(len(set(names)) == len(names), "modalities", value, "must not name a modality twice")
    return names_of(names)
