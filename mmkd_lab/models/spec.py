"""What a network is, as plain values: enough to build it again, and to key a stored result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from mmkd_lab.core.check import mapping, one_of, require
from mmkd_lab.core.config import Count, Flag, Natural, config

EncoderName = Literal["auto", "lenet", "resnet", "mlp", "linear", "bag", "conv1d", "gru", "unet"]
Fusion = Literal["late", "mid", "attention", "single_stream"]
ENCODERS: tuple[str, ...] = get_args(EncoderName)
FUSIONS: tuple[str, ...] = get_args(Fusion)
#: Sizes of single-stream transformers: two for one CPU core; VisualBERT's (Li et al. 2019, arXiv 1908.03557,
#: that of BERT base) and TinyBERT's (Jiao et al. 2020, arXiv 1909.10351, section 4.2: four layers of 312).
SIZES = {
    "teacher": {"features": 64, "depth": 4, "heads": 4},
    "student": {"features": 32, "depth": 2, "heads": 2},
    "visualbert": {"features": 768, "depth": 12, "heads": 12},
    "tinybert": {"features": 312, "depth": 4, "heads": 12},
}


def names_of(modalities: Iterable[str]) -> tuple[str, ...]:
    """Sorted modality names: the order that networks, masks and files use."""
    return tuple(sorted(modalities))


def _pairs(value: object) -> object:
    """A mapping, or the pairs of one, as sorted pairs: these can be hashed and compared."""
    if isinstance(value, str) or value is None:
        return value
    try:
        return tuple(sorted(dict(value).items())) or None  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ValueError("must be {modality: value} or pairs of these") from None


def _sorted_names(value: object) -> object:
    if value is None:
        return None
    names = None if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable) else list(value)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("must be a sequence of at least one name, for example ('image',), or None")
    if len(set(names)) < len(names):
        raise ValueError("must not name a modality twice")
    return names_of(names)


if TYPE_CHECKING:  # what may be given; kept are sorted tuples
    _Encoder = EncoderName | Mapping[str, EncoderName] | tuple[tuple[str, EncoderName], ...]
    _Vocabulary = Mapping[str, int] | tuple[tuple[str, int], ...] | None
    _Time = Mapping[str, int] | tuple[tuple[str, int], ...] | None
    _Modalities = Iterable[str] | None
else:
    _PAIRS = BeforeValidator(_pairs)
    _Encoder = Annotated[EncoderName | tuple[tuple[str, EncoderName], ...], _PAIRS]
    _Vocabulary = Annotated[tuple[tuple[str, Annotated[Count, Field(ge=2)]], ...] | None, _PAIRS]
    _Time = Annotated[tuple[tuple[str, Natural], ...] | None, _PAIRS]
    _Modalities = Annotated[tuple[str, ...] | None, BeforeValidator(_sorted_names)]


@config
class NetSpec:
    """One network architecture. JSON in and out by `as_dict` and `from_dict`.

    Args:
        encoder: one name for every modality, or {modality: name}. 'lenet' and 'resnet' read (C, H, W),
            'conv1d' and 'gru' sequences, 'mlp' and 'linear' anything but text, flattened, 'bag' text, as the
            mean of its tokens' embeddings. 'auto' takes 'bag' for text, 'lenet' for pictures with sides of 8
            to 112, and 'mlp' for the rest, which needs fewer samples than networks for sequences do. A dense
            task has 'unet' throughout, which 'auto' means there: pictures of one size to maps of that size.
        width: channels of the first convolution; hidden layers of an MLP and a bag have 8 * width units.
        features: F, the length of an encoder's output ('linear' keeps the input's), or of a stream's token.
        fusion: 'late' concatenates features, 'mid' merges the encoders' first maps and goes on jointly (of
            U-Nets: adds the maps of each level on the way down, and has one way up),
            'attention' lets one learned query attend over one token per modality, 'single_stream' is one
            transformer over the tokens of all modalities, without encoders.
        joint: units of a hidden layer after late fusion; 0 for none.
        modalities: the ones this network reads, in any order; None for all that the dataset has.
        standardise: subtract the training mean and divide by the training deviation of each modality: one
            number for a picture, one per entry of a vector, one per channel of a sequence, over time.
        baseline: give the network one trainable stand-in per modality, for the 'learned' removal.
        depth: blocks of a single stream.
        heads: attention heads of a single stream; they divide `features`.
        patch: side in pixels of the square patches of a single stream; 0 for a quarter of the shorter side.
        vocabulary: {modality: number of token ids} of every modality that is text; id 0 is padding.
        time: {modality: the axis of one sample, from 0, that is time}; all its other axes together are then
            channels. A modality that is left out and neither (D,) nor a picture, (C, H, W) of at most 4
            channels with sides of at least 8, is a sequence whose first axis is time, such as (steps,
            channels) or (steps, joints, 3).

    Raises `LabError` for an unknown name, a count out of range, a modality named twice, or a setting that the
    fusion does not have.
    """

    encoder: _Encoder = "auto"
    width: Count = 8
    features: Count = 32
    fusion: Fusion = "late"
    joint: Natural = 0
    modalities: _Modalities = None
    standardise: Flag = True
    baseline: Flag = False
    depth: Count = 2
    heads: Count = 4
    patch: Natural = 0
    vocabulary: _Vocabulary = None
    time: _Time = None

    def __post_init__(self) -> None:
        rule = f"a joint hidden layer belongs to late fusion, and fusion is {self.fusion!r}"
        fine = self.joint == 0 or self.fusion == "late"
        require(fine, "joint", self.joint, rule, "Use fusion='late' or joint=0.")
        if self.fusion == "single_stream":
            rule = "a single stream has no encoders"
            require(self.encoder == "auto", "encoder", self.encoder, rule, "Use encoder='auto'.")
            rule = f"must divide the {self.features} features"
            require(self.features % self.heads == 0, "heads", self.heads, rule)

    @classmethod
    def single_stream(cls, size: str, **changes: Any) -> NetSpec:  # noqa: ANN401 - any field of the spec
        """A single-stream transformer of a named size, see `SIZES`; `changes` are fields of the spec.

        Raises `LabError` for an unknown size or field.
        """
        one_of("size", size, SIZES)
        return cls.from_dict({"fusion": "single_stream", **SIZES[size], **changes})

    @property
    def token_counts(self) -> dict[str, int]:
        """The vocabulary as {modality: number of token ids}; empty where no modality is text."""
        return dict(self.vocabulary or ())

    def with_vocabulary(self, vocabulary: Mapping[str, int]) -> NetSpec:
        """The same architecture, with these modalities as text."""
        return replace(self, vocabulary=vocabulary)

    def encoder_of(self, modality: str) -> str:
        """The encoder's name for one modality; 'auto' when the mapping leaves it out."""
        if isinstance(self.encoder, str):
            return self.encoder
        return dict(self.encoder).get(modality, "auto")

    def reads(self, available: Iterable[str]) -> tuple[str, ...]:
        """The modalities read, sorted, out of those available. Raises `LabError` when one is not there."""
        names = sorted(available)
        encoders = () if isinstance(self.encoder, str) else dict(self.encoder)
        given = {"modalities": self.modalities or (), "encoder": encoders, "vocabulary": self.token_counts}
        given["time"] = dict(self.time or ())
        for argument, known in given.items():
            for name in known:
                one_of(argument, name, names)
        return names_of(self.modalities or names)

    def on(self, *modalities: str) -> NetSpec:
        """The same architecture, reading these modalities."""
        return replace(self, modalities=modalities)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetSpec:
        """The spec that `as_dict` wrote. Raises `LabError` for an unknown field."""
        return cls(**mapping("values", values, "what as_dict gave"))
