"""What datasets there are and which parameters they take. Costs nothing to import: no torch, no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mmkd_lab.base.check import LabError, listing, one_of, real, require, whole


@dataclass(frozen=True)
class Parameter:
    """One parameter of a dataset.

    Args:
        name: the keyword of `data.load`.
        kind: 'whole', 'real', 'text', 'flag', 'choice' (one of the options) or 'names' (several of them).
        default: its value when it is not given; None is allowed as a value exactly when the default is None
            or `optional` is set.
        help: one sentence, with the unit.
        options: what a 'text', or each of the 'names', may be; empty means anything.
        at_least, at_most, above: bounds of a number.
    """

    name: str
    kind: str
    default: object
    help: str
    options: tuple[object, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    optional: bool = False

    def check(self, value: object) -> object:
        """Return `value` in its plain type. Raises `LabError` naming the parameter, its value, the rule."""
        if value is None and (self.optional or self.default is None):
            return None
        if self.kind == "whole":
            return self._whole(value)
        if self.kind == "real":
            low = self.at_least if self.at_least is not None else float("-inf")
            high = self.at_most if self.at_most is not None else float("inf")
            return real(self.name, value, at_least=low, at_most=high, above=self.above)
        if self.kind == "flag":
            require(isinstance(value, bool), self.name, value, "must be True or False")
            return value
        if self.kind == "names":
            return self._names(value)
        if self.kind == "choice":
            one_of(self.name, value, self.options)
            return next(option for option in self.options if option == value)  # a numpy number comes plain
        require(isinstance(value, str), self.name, value, "must be text", f"For example {self.default!r}.")
        if self.options:
            one_of(self.name, value, self.options)
        return value

    def _whole(self, value: object) -> int:
        number = whole(self.name, value, at_least=int(self.at_least if self.at_least is not None else 1))
        if self.at_most is not None:
            require(number <= self.at_most, self.name, value, f"must be at most {self.at_most:g}")
        return number

    def _names(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise LabError(
                self.name, value, "must be a list of names", f"For example {list(self.options[:2])}."
            )
        for name in value:
            one_of(self.name, name, self.options)
        require(len(set(value)) == len(value), self.name, value, "must not name anything twice")
        return tuple(value)


@dataclass(frozen=True)
class Entry:
    """One dataset of the registry.

    Args:
        name: the first argument of `data.load`.
        summary: one sentence.
        modalities: the names its samples have.
        licence: of the data, not of the code.
        files: the downloads it needs, by their key in the manifest; empty when nothing must be downloaded.
        parameters: what `data.load` accepts.
        builder: 'module:function', called with every parameter.
    """

    name: str
    summary: str
    modalities: tuple[str, ...]
    licence: str
    files: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    builder: str

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        """Every parameter with its value, checked. Raises `LabError` for an unknown one or a wrong value."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                one_of(f"parameter of {self.name!r}", name, sorted(known))
            known[name].check(value)
        return {name: known[name].check(given.get(name, known[name].default)) for name in known}


def catalogue() -> list[Entry]:
    """Every dataset, in the order of the README."""
    return list(_ENTRIES.values())


def entry(name: str) -> Entry:
    """The dataset of this name. Raises `LabError` listing the known ones."""
    require(isinstance(name, str), "name", name, f"must be the name of a dataset: {listing(list(_ENTRIES))}")
    one_of("name", name, list(_ENTRIES))
    return _ENTRIES[name]


def _sizes(train: int, val: int, test: int, *, at_most: tuple[int, int, int]) -> tuple[Parameter, ...]:
    sizes = zip(("train", "val", "test"), (train, val, test), at_most, strict=True)
    return tuple(
        Parameter(f"n_{split}", "whole", size, f"number of {split} pairs", at_least=50, at_most=most)
        for split, size, most in sizes
    )


_SEED = Parameter("seed", "whole", 0, "seed of the splits, the pairs and the noise", at_least=0)
_SNR = Parameter(
    "speech_snr_db",
    "real",
    0.0,
    "speech power over noise power in decibels; None leaves the speech clean",
    at_least=-60.0,
    at_most=60.0,
    optional=True,
)

_MIRROR = Parameter(
    "mirror", "text", None, "folder to take the files from; default MMKD_LAB_MIRROR, else downloads"
)
_PATH = Parameter("path", "text", None, "the array file itself, instead of a mirror")

_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")

_AV_DIGITS = Entry(
    name="av_digits",
    summary="Handwritten digits (8×8) with synthesised spoken digits of 88 voices; ships with the lab.",
    modalities=("image", "speech"),
    licence="images CC BY 4.0 (UCI optdigits); speech made by this project with espeak-ng",
    files=(),
    parameters=(
        *_sizes(2000, 500, 2000, at_most=(20000, 20000, 20000)),
        replace(_SNR, default=-10.0),
        Parameter(
            "image_noise", "real", 0.25, "sd of Gaussian noise; white is 1", at_least=0.0, at_most=10.0
        ),
        Parameter(
            "image_occlusion",
            "real",
            0.0,
            "side of a grey square at a random place, as a share of the image's side",
            at_least=0.0,
            at_most=1.0,
        ),
        _SEED,
    ),
    builder="mmkd_lab.data.av_digits:build",
)

_AV_MNIST = Entry(
    name="av_mnist",
    summary="MNIST reduced to few principal components, paired with real spoken digits in background noise.",
    modalities=("image", "speech"),
    licence="MNIST CC BY-SA 3.0; Free Spoken Digit Dataset CC BY-SA 4.0; ESC-10 CC BY 3.0",
    files=("mnist", "fsdd", "esc10"),
    parameters=(
        *_sizes(10000, 2000, 10000, at_most=(59950, 20000, 10000)),
        Parameter(
            "image_components",
            "whole",
            None,
            "principal components of the image that are kept; 3 unless image_energy is given, 784 for all",
            at_most=784,
        ),
        Parameter(
            "image_energy",
            "real",
            None,
            "keep the fewest components with this share of the variance",
            above=0.0,
            at_most=1.0,
        ),
        Parameter(
            "speech_split",
            "text",
            "speakers",
            "'speakers': splits share no speaker; 'official': FSDD's own split, speakers shared",
            options=("speakers", "official"),
        ),
        Parameter("val_speakers", "names", ("yweweler",), "heard in validation only", options=_SPEAKERS),
        Parameter("test_speakers", "names", ("lucas", "theo"), "heard in the test only", options=_SPEAKERS),
        replace(_SNR, default=10.0),
        Parameter(
            "noise",
            "text",
            "esc10",
            "'esc10': recorded backgrounds; 'pink': generated, nothing to download",
            options=("esc10", "pink"),
        ),
        Parameter("speech_size", "choice", 28, "mel bands and frames of the spectrogram", options=(28, 112)),
        _SEED,
        _MIRROR,
    ),
    builder="mmkd_lab.data.av_mnist:build",
)

_GAUSSIAN = Entry(
    name="gaussian",
    summary="The modality focusing paper's Gaussian worlds, whose shared and specific parts are declared.",
    modalities=("a", "b"),
    licence="generated",
    files=(),
    parameters=(
        Parameter("shared", "whole", 6, "decisive latents that both modalities see", at_least=0),
        Parameter("specific_a", "whole", 4, "decisive latents that only modality a sees", at_least=0),
        Parameter("specific_b", "whole", 4, "decisive latents that only modality b sees", at_least=0),
        Parameter("hidden", "whole", 6, "decisive latents that neither sees", at_least=0),
        Parameter("width_a", "whole", 25, "columns of modality a"),
        Parameter("width_b", "whole", 50, "columns of modality b"),
        Parameter("hyperplane", "text", "random", "how latents are weighed", options=("random", "ones")),
        Parameter("n_train", "whole", 200, "number of training samples"),
        Parameter("n_val", "whole", 200, "number of validation samples; 0 for none", at_least=0),
        Parameter("n_test", "whole", 1000, "number of test samples"),
        Parameter("offset_a", "whole", 0, "column of a in which its decisive latents begin", at_least=0),
        Parameter(
            "stream",
            "text",
            "figures",
            "which random numbers are drawn",
            options=("figures", "table2", "independent"),
        ),
        Parameter("seed", "whole", 0, "seed of the world", at_least=0),
    ),
    builder="mmkd_lab.data.gaussian:load",
)

_RAVDESS = Entry(
    name="ravdess",
    summary="Acted emotional speech of 24 actors: audio features and facial action units, folds by actor.",
    modalities=("audio", "video"),
    licence="CC BY-NC-SA 4.0, research only",
    files=("ravdess",),
    parameters=(
        Parameter(
            "audio",
            "text",
            "statistics",
            "'statistics': 180 numbers a clip; 'mel': log-mel, 40 bands by 150 frames",
            options=("statistics", "mel"),
        ),
        Parameter("test_fold", "whole", 0, "fold of actors for the test", at_least=0, at_most=4),
        Parameter("val_fold", "whole", 1, "fold of actors for validation", at_least=0, at_most=4),
        _MIRROR,
        _PATH,
    ),
    builder="mmkd_lab.data.ravdess:build",
)

_VIEWS = ("fac", "fou", "kar", "mor", "pix", "zer")

_MFEAT = Entry(
    name="mfeat",
    summary="2,000 handwritten digits in six views of unequal strength; two or more are the modalities.",
    modalities=_VIEWS,
    licence="CC BY 4.0 (UCI Multiple Features)",
    files=("mfeat",),
    parameters=(
        Parameter("views", "names", ("mor", "fac"), "which views are the modalities", options=_VIEWS),
        *_sizes(800, 200, 1000, at_most=(1900, 1900, 1900)),
        _SEED,
        _MIRROR,
        _PATH,
    ),
    builder="mmkd_lab.data.mfeat:build",
)

_SENSES = ("voice", "face", "audiovisual")

_CREMA_VOTES = Entry(
    name="crema_votes",
    summary="What human raters heard and saw in 7,442 acted clips: shares of their votes, by modality.",
    modalities=_SENSES,
    licence="ODbL 1.0 (CREMA-D)",
    files=("crema_votes",),
    parameters=(
        Parameter(
            "senses",
            "names",
            ("voice", "face"),
            "what the raters were given; each is a modality",
            options=_SENSES,
        ),
        Parameter("val_actors", "whole", 13, "number of actors for validation", at_most=89),
        Parameter("test_actors", "whole", 27, "number of actors for the test", at_most=89),
        _SEED,
        _MIRROR,
        _PATH,
    ),
    builder="mmkd_lab.data.crema_votes:build",
)

_ENTRIES: dict[str, Entry] = {
    item.name: item for item in (_AV_DIGITS, _AV_MNIST, _GAUSSIAN, _RAVDESS, _MFEAT, _CREMA_VOTES)
}
