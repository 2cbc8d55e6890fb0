"""What datasets there are and which parameters they take. Costs nothing to import: no torch, no numpy."""

from __future__ import annotations

from dataclasses import replace

from mmkd_lab.core.check import listing, one_of, require
from mmkd_lab.data import catalogue_vl
from mmkd_lab.data.entries import MIRROR, PATH, SEED, Entry, Parameter, sizes

__all__ = ["Entry", "Parameter", "catalogue", "entry"]


def catalogue() -> list[Entry]:
    """Every dataset, in the order of the README."""
    return list(_ENTRIES.values())


def entry(name: str) -> Entry:
    """The dataset of this name. Raises `LabError` listing the known ones."""
    require(isinstance(name, str), "name", name, f"must be the name of a dataset: {listing(list(_ENTRIES))}")
    one_of("name", name, list(_ENTRIES))
    return _ENTRIES[name]


_SNR = Parameter(
    "speech_snr_db",
    "real",
    0.0,
    "speech power over noise power in decibels; None leaves the speech clean",
    at_least=-60.0,
    at_most=60.0,
    optional=True,
)

_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")

_AV_DIGITS = Entry(
    name="av_digits",
    summary="Handwritten digits (8×8) with synthesised spoken digits of 88 voices; ships with the lab.",
    modalities=("image", "speech"),
    licence="images CC BY 4.0 (UCI optdigits); speech made by this project with espeak-ng",
    files=(),
    parameters=(
        *sizes(2000, 500, 2000, at_most=(20000, 20000, 20000)),
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
        SEED,
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
        *sizes(10000, 2000, 10000, at_most=(59950, 20000, 10000)),
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
        SEED,
        MIRROR,
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
        MIRROR,
        PATH,
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
        *sizes(800, 200, 1000, at_most=(1900, 1900, 1900)),
        SEED,
        MIRROR,
        PATH,
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
        SEED,
        MIRROR,
        PATH,
    ),
    builder="mmkd_lab.data.crema_votes:build",
)

_ENTRIES: dict[str, Entry] = {
    item.name: item
    for item in (
        _AV_DIGITS,
        _AV_MNIST,
        _GAUSSIAN,
        _RAVDESS,
        _MFEAT,
        _CREMA_VOTES,
        *catalogue_vl.ENTRIES,
    )
}
