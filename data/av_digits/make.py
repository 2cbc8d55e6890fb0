"""Make data/av_digits/speech.npz: spoken digits from the speech synthesiser espeak-ng.

    python data/av_digits/make.py            # needs espeak-ng 1.51 (Debian: apt install espeak-ng)
    python data/av_digits/make.py --check    # makes it in memory and compares it with the shipped file

Each speaker is one espeak-ng voice variant (a vocal tract) with one English accent. Each speaker says each
digit `TAKES` times, at a speed and a pitch drawn from a seeded stream. The waveform is resampled to 8 kHz,
its silent ends are cut, it is centred in the window, and its log-mel spectrogram is stored in steps of
80/255 dB.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.seed import derive
from mmkd_lab.data.making.spectrogram import MelSpec, decibels

SEED = 2023
TAKES = 3
SPEEDS = (145, 225)  # words a minute, inclusive
PITCHES = (25, 75)  # espeak-ng's scale of 0 to 99, inclusive
FLOOR = 80.0  # dB
SPEC = MelSpec(rate=8000, window=256, hop=240, mel=28, frames=28)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = (
    "en-us", "en", "en-gb-scotland", "en-gb-x-gbclan",
    "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029", "en-us-nyc",
)  # fmt: skip
VARIANTS = (
    "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "croak", "klatt", "klatt2",
    "klatt3", "klatt4", "klatt5", "grandma", "grandpa", "adam", "Alex", "Andrea", "Andy",
    "Annie", "antonio", "aunty", "belinda", "benjamin", "boris", "david", "Denis", "Diogo", "ed",
    "edward", "edward2", "Gene", "Gene2", "gustave", "Henrique", "Hugo", "iven", "iven2", "iven3", "iven4",
    "Jacky", "john", "kaukovalta", "Lee", "linda", "marcelo", "Mario", "max", "Michael", "michel",
    "miguel", "Mike", "Nguyen", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro",
    "shelby", "steph", "steph2", "steph3", "Storm", "travis", "Tweaky", "victor", "zac", "anika",
    "AnxiousAndy", "robosoft6", "announcer", "robosoft3", "robosoft5", "robosoft8",
    "UniRobot", "anikaRobot", "whisper", "whisperf", "Demonic",
)  # fmt: skip


def speakers() -> list[str]:
    """The voices as espeak-ng names them; no variant has two accents: speakers share nothing.

    An accent must be named by its own voice file ('en' is British English): with the mere language 'en-gb'
    espeak-ng 1.51 ignores the variant without a word, and all its speakers are one. `distinct` sees to that.
    """
    return [f"{ACCENTS[i % len(ACCENTS)]}+{variant}" for i, variant in enumerate(VARIANTS)]


def say(voice: str, word: str, speed: int, pitch: int) -> npt.NDArray[np.float64]:
    """One utterance at 8 kHz, its ends cut where it stays more than 50 dB below its loudest 10 ms."""
    from scipy.signal import resample_poly

    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
    # Writing to a pipe, espeak-ng cannot state the length in the header: the samples are all that follows it.
    raw = np.frombuffer(done.stdout[44:], dtype="<i2").astype(np.float64)
    return trim(resample_poly(raw, SPEC.rate // 50, rate // 50))


def trim(sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cut both ends, leaving one 10 ms step of margin."""
    step = SPEC.rate // 100
    energy = (sound[: len(sound) // step * step].reshape(-1, step) ** 2).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 1e-5)
    return sound[max(0, loud[0] - 1) * step : (loud[-1] + 2) * step]


def centre(sound: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
    """The utterance in the middle of the window. Refuses one that would be cut."""
    if len(sound) > SPEC.samples:
        sys.exit(f"{name} has {len(sound)} samples, more than the window of {SPEC.samples}")
    padded = np.zeros(SPEC.samples)
    start = (SPEC.samples - len(sound)) // 2
    padded[start : start + len(sound)] = sound
    return padded


def distinct(voices: list[str]) -> None:
    """Refuse voices that say a word alike at one speed and pitch: they would be one speaker on two sides."""
    with ThreadPoolExecutor(2) as pool:
        heard = list(pool.map(lambda voice: say(voice, "seven", 180, 50).tobytes(), voices))
    first: dict[bytes, str] = {}
    for voice, sound in zip(voices, heard, strict=True):
        if first.setdefault(sound, voice) != voice:
            sys.exit(f"{voice} and {first[sound]} are one voice")


def make() -> dict[str, npt.NDArray[np.generic]]:
    """Every array of the file."""
    voices = speakers()
    distinct(voices)
    rng = np.random.default_rng(derive(SEED, "av_digits", "speech"))
    plan = [(s, d, t) for s in range(len(voices)) for d in range(10) for t in range(TAKES)]
    speed = rng.integers(SPEEDS[0], SPEEDS[1] + 1, len(plan))
    pitch = rng.integers(PITCHES[0], PITCHES[1] + 1, len(plan))

    def one(row: int) -> npt.NDArray[np.float64]:
        s, d, _ = plan[row]
        return centre(say(voices[s], WORDS[d], int(speed[row]), int(pitch[row])), f"{voices[s]} {WORDS[d]}")

    with ThreadPoolExecutor(2) as pool:
        waves = np.stack(list(pool.map(one, range(len(plan)))))
    level = decibels(SPEC.power(waves), floor=FLOOR)
    return {
        "level": np.rint((level + FLOOR) * 255 / FLOOR).astype(np.uint8),
        "digit": np.array([d for _, d, _ in plan], dtype=np.uint8),
        "speaker": np.array([s for s, _, _ in plan], dtype=np.uint8),
        "speed": speed.astype(np.uint8),
        "pitch": pitch.astype(np.uint8),
        "voices": np.array(voices),
    }


def main() -> None:
    """Make the file, or compare it with the shipped one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the shipped file, write nothing")
    arguments = parser.parse_args()
    path, arrays = Path(__file__).parent / "speech.npz", make()
    if arguments.check:
        with np.load(path, allow_pickle=False) as shipped:
            differ = [name for name in arrays if not np.array_equal(arrays[name], shipped[name])]
        sys.exit(f"these arrays differ from {path}: {', '.join(differ)}" if differ else 0)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    print(path, path.stat().st_size, "bytes", "sha256", hashlib.sha256(path.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
