"""av_mnist: AV-MNIST by a stated, seeded, hashed recipe; the data of Xue et al. 2023 was never released.

Images are MNIST, of which only the leading principal components of the training images are kept. Speech is
the Free Spoken Digit Dataset with background sounds, as log-mel spectrograms. data/README.md says what
differs from the generator in circulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.seed import derive
from mmkd_lab.data import manifest
from mmkd_lab.data.archives import read_idx, read_wav
from mmkd_lab.data.assemble import SPLITS, consecutive, facts_of, paired
from mmkd_lab.data.content import read_gz, read_recordings
from mmkd_lab.data.datasets.recipes import AvMnist
from mmkd_lab.data.files import locate
from mmkd_lab.data.making.noise import Backgrounds, excerpt, mix, pink, read_backgrounds
from mmkd_lab.data.making.pairing import Rows, draw, stratified_order
from mmkd_lab.data.making.pca import fit_pca
from mmkd_lab.data.making.scale import Scale, on_grid
from mmkd_lab.data.making.spectrogram import MelSpec, decibels
from mmkd_lab.data.paired import PairedData

SPECS = {
    28: MelSpec(rate=8000, window=512, hop=256, mel=28, frames=28),
    112: MelSpec(rate=8000, window=512, hop=64, mel=112, frames=112),
}
FLOOR = 80.0
WORDS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
#: Index of a recording -> split, when speakers are not disjoint; 0 to 4 is FSDD's official test set.
TAKES = {"train": range(10, 50), "val": range(5, 10), "test": range(5)}
_CHUNK = 100
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Speech:
    """The recordings of FSDD, sorted by name, each in the middle of the spectrogram's window.

    Args:
        waves: (3000, samples).
        digit: (3000,) what is said.
        speaker: (3000,) who says it, as a position in `speakers`.
        take: (3000,) the index of the recording, 0 to 49.
        speakers: the six names, sorted.
    """

    waves: Floats
    digit: Rows
    speaker: Rows
    take: Rows
    speakers: tuple[str, ...]

    def of(self, split: str, recipe: AvMnist) -> Rows:
        """The recordings that a split may use."""
        if recipe.speech_split == "official":
            return np.flatnonzero(np.isin(self.take, list(TAKES[split])))
        held = {"val": recipe.val_speakers, "test": recipe.test_speakers}
        rest = [name for name in self.speakers if name not in {*recipe.val_speakers, *recipe.test_speakers}]
        wanted = [self.speakers.index(name) for name in held.get(split, rest)]
        return np.flatnonzero(np.isin(self.speaker, wanted))


def build(recipe: AvMnist) -> PairedData:
    """The dataset. Use `data.load("av_mnist", ...)`.

    image: (N, 1, 28, 28), rebuilt from few principal components, standardised by the training images.
    speech: (N, 1, 28, 28) float32 or (N, 1, 112, 112) float16 log-mel in decibels, standardised likewise.
    index: the number of the image in MNIST, 60,000 added for its test set. group: the speaker, when speakers
    are disjoint. sources: the pair index: image, recording and background clip (-1: none) of each pair.
    recipe: the parameters, what they came to, the digests of the files, and `hash`, the digest of all that.

    Raises `DamagedFile` for a file that is missing or damaged.
    """
    files = {
        file.name: file for part in ("mnist", "fsdd", "esc10") for file in manifest.collection(part).files
    }
    paths = {name: locate(file, recipe.mirror) for name, file in files.items() if _needed(name, recipe)}
    pixels, labels = _read_images(files, paths)
    speech = _read_speech(files, paths, SPECS[recipe.speech_size])
    clips = _read_noise(files, paths)
    splits = consecutive([recipe.n_train, recipe.n_val, recipe.n_test])
    pairs = _pair(recipe, labels, speech, clips)
    image, components, energy = _images(pixels[pairs.image], recipe)
    heard = _spectrograms(recipe, speech, clips, pairs)
    return paired(
        "av_mnist",
        modalities={"image": image[:, None], "speech": heard[:, None]},
        target=labels[pairs.image],
        splits=splits,
        classes=WORDS,
        index=pairs.image,
        group=speech.speaker[pairs.speech] if recipe.speech_split == "speakers" else None,
        sources={name: getattr(pairs, name) for name in ("image", "speech", "noise")},
        recipe=facts_of(
            recipe,
            [files[name] for name in paths],
            components=components,
            image_energy_kept=round(energy, 6),
            backgrounds=None if clips is None else clips.digest,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Pairs:
    image: Rows
    speech: Rows
    noise: Rows
    start: Floats


def _needed(name: str, recipe: AvMnist) -> bool:
    noisy = recipe.speech_snr_db is not None and recipe.noise == "esc10"
    return noisy or not name.startswith("esc10/")


def _read_images(
    files: dict[str, manifest.DataFile], paths: dict[str, Path]
) -> tuple[npt.NDArray[np.uint8], Rows]:
    """(70000, 784) pixels and (70000,) labels, MNIST's training images first."""

    def read(kind: str) -> npt.NDArray[np.uint8]:
        names = [f"mnist/{part}-{kind}-ubyte.gz" for part in ("train", "t10k")]
        return np.concatenate(
            [read_idx(read_gz(files[name], paths[name]), name=str(paths[name])) for name in names]
        )

    images = read("images-idx3")
    return images.reshape(len(images), -1), read("labels-idx1").astype(np.int64)


def _read_speech(files: dict[str, manifest.DataFile], paths: dict[str, Path], spec: MelSpec) -> Speech:
    name = "fsdd/free-spoken-digit-dataset-master.zip"
    found = read_recordings(files[name], paths[name])
    parts = [key.removesuffix(".wav").split("_") for key in found]
    speakers = tuple(sorted({part[1] for part in parts}))
    waves = [centred(read_wav(content, name=key)[1], spec.samples) for key, content in found.items()]
    return Speech(
        waves=np.stack(waves),
        digit=np.array([int(part[0]) for part in parts]),
        speaker=np.array([speakers.index(part[1]) for part in parts]),
        take=np.array([int(part[2]) for part in parts]),
        speakers=speakers,
    )


def centred(recording: npt.NDArray[np.int16], samples: int) -> Floats:
    """The recording amid `samples` samples of silence; of a longer one, the stretch of most energy."""
    sound = recording.astype(np.float64)
    if len(sound) > samples:
        total = np.concatenate([[0.0], np.cumsum(sound**2)])
        start = int(np.argmax(total[samples:] - total[:-samples]))
        return sound[start : start + samples]
    padded = np.zeros(samples)
    start = (samples - len(sound)) // 2
    padded[start : start + len(sound)] = sound
    return padded


def _read_noise(files: dict[str, manifest.DataFile], paths: dict[str, Path]) -> Backgrounds | None:
    name = "esc10/esc10-8khz.zip"
    return read_backgrounds(files[name], paths[name]) if name in paths else None


def _pair(recipe: AvMnist, labels: Rows, speech: Speech, clips: Backgrounds | None) -> _Pairs:
    """Images first, each once, classes in MNIST's shares; then a recording of the label and a background."""
    rng = np.random.default_rng(derive(recipe.seed, "av_mnist", "pairs"))
    train = stratified_order(labels[:60000], rng)[: recipe.n_train + recipe.n_val]
    test = 60000 + stratified_order(labels[60000:], rng)[: recipe.n_test]
    images = dict(zip(SPLITS, [train[: recipe.n_train], train[recipe.n_train :], test], strict=True))
    spoken, noises = [], []
    for split, image in images.items():
        pool = speech.of(split, recipe)
        spoken.append(draw(labels[image], pool, speech.digit[pool], rng))
        noises.append(np.full(len(image), -1) if clips is None else rng.choice(clips.of(split), len(image)))
    image = np.concatenate(list(images.values()))
    return _Pairs(image, np.concatenate(spoken), np.concatenate(noises), rng.random(len(image)))


def _images(pixels: npt.NDArray[np.uint8], recipe: AvMnist) -> tuple[npt.NDArray[np.float32], int, float]:
    """Standardised images, the number of components kept, and their share of the training variance."""
    pca = fit_pca(pixels[: recipe.n_train])
    components = 3 if recipe.image_components is None else recipe.image_components
    if recipe.image_energy is not None:
        components = pca.components_for(recipe.image_energy)
    kept = np.empty((len(pixels), 28, 28), dtype=np.float32)
    for start in range(0, len(pixels), 5000):
        part = pixels[start : start + 5000] / 255.0
        kept[start : start + 5000] = on_grid(pca.keep(part, components), 2.0**-12).reshape(-1, 28, 28)
    Scale.fit(kept[: recipe.n_train]).apply(kept)
    return kept, components, float(pca.energy[:components].sum())


def _spectrograms(
    recipe: AvMnist, speech: Speech, clips: Backgrounds | None, pairs: _Pairs
) -> npt.NDArray[np.floating]:
    """Standardised log-mel spectrograms of every pair, chunk by chunk so that memory stays small."""
    size, n = recipe.speech_size, len(pairs.image)
    rng = np.random.default_rng(derive(recipe.seed, "av_mnist", "noise"))
    heard = np.empty((n, size, size), dtype=np.float32 if size == 28 else np.float16)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        sound = speech.waves[pairs.speech[rows]]
        if recipe.speech_snr_db is not None:
            sound = mix(sound, _backdrop(sound.shape, clips, pairs, rows, rng), recipe.speech_snr_db)
        level = decibels(SPECS[size].power(sound), floor=FLOOR)
        heard[rows] = on_grid(level + FLOOR / 2, 1.0 / 16.0)  # exact in half precision: |level + 40| <= 40
    Scale.fit(heard[: recipe.n_train]).apply(heard)
    return heard


def _backdrop(
    shape: tuple[int, ...], clips: Backgrounds | None, pairs: _Pairs, rows: slice, rng: np.random.Generator
) -> Floats:
    if clips is None:
        return pink(rng, rows=shape[0], samples=shape[1])
    chosen = zip(pairs.noise[rows], pairs.start[rows], strict=True)
    return np.stack([excerpt(clips.clips[clip], start, shape[1]) for clip, start in chosen])
