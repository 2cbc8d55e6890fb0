"""The atlas of crossmodal distillation: gains and evidence of many pairs, and how well forecasts do on it.

    python benchmarks/atlas.py            train and look at what is missing, then write data/atlas.csv
    python benchmarks/atlas.py mfeat      only units whose names begin so; nothing is written to data/
    python benchmarks/atlas.py --rounds 9 every unit there is, which takes hours

Finished units are kept in runs/atlas, so that a run that was stopped goes on. All but av_digits,
shapes_vl and the generated worlds need their files (`mmkd-lab data get`). Sizes, steps and the order of
units were set by time, after the first few gains had been seen; none was set by a gain.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch

from mmkd_lab import data
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.seed import derive
from mmkd_lab.core.stats import paired_interval
from mmkd_lab.data import PairedData
from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, TABLE2, World, Worlds, worlds
from mmkd_lab.forecast.evidence import Known, evidence
from mmkd_lab.forecast.judge import leave_set_out
from mmkd_lab.forecast.measure import RHO, SEES, TEMPERATURE, Gain, Trials, sees
from mmkd_lab.forecast.model import CHOICES, LeftOut, chosen, fitted
from mmkd_lab.forecast.pair import pair_of
from mmkd_lab.forecast.records import tidy
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import fit_worlds

RUNS = Path("runs") / "atlas"
ATLAS = Path(__file__).resolve().parents[1] / "data" / "atlas.csv"
WORLDS, LOOKED_AT = 20, 2
#: Units of each data set in the file that ships; there are more, for whoever has the hours.
ROUNDS = 2
VIEWS = ("fac", "fou", "kar", "mor", "pix", "zer")
ARMS, TWO = ("cm_kd", "um_kd", "mm_kd"), ("cm_kd", "um_kd")
CROWD = ("voice", "face", "audiovisual")


@dataclass(frozen=True)
class Unit:
    """Rows that share their data: a data set at one setting.

    Args:
        group: the data set, which is left out as a whole.
        setting: what tells it from other units of its set.
        load: makes the data.
        modalities: every ordered pair of them is a row.
        arms: which arms are trained.
    """

    group: str
    setting: str
    load: Callable[[], PairedData]
    modalities: tuple[str, ...]
    arms: tuple[str, ...] = ARMS

    @property
    def name(self) -> str:
        return f"{self.group} {self.setting}"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(permutations(self.modalities, 2))

    def gains(self) -> Iterator[tuple[str, str, str, Gain, int]]:
        """Teacher, student, arm, gain, samples."""
        known = self.load()
        bench, samples = Trials(known), len(known.positions("train"))
        for student in self.modalities:
            others = [one for one in self.modalities if one != student]
            asked = {(one, arm): sees(arm, one, student) for one in others for arm in self.arms}
            found = bench.gains(student, asked.values())
            for (teacher, arm), what in asked.items():
                yield teacher, student, arm, found[what], samples


@dataclass(frozen=True)
class WorldUnit:
    """One Gaussian world, drawn anew under every seed; linear networks, the student's modality is b."""

    setting: str
    world: World
    group: str = "gaussian"
    arms: tuple[str, ...] = ARMS

    @property
    def name(self) -> str:
        return f"{self.group} {self.setting}"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [("a", "b")]

    def drawn(self) -> Worlds:
        return worlds(replace(self.world, n_val=400, stream="independent"), range(WORLDS))

    def gains(self) -> Iterator[tuple[str, str, str, Gain, int]]:
        recipe = WorldsRecipe(ce=1 - RHO, kd=RHO, temperature=TEMPERATURE, convention="kl")
        found = fit_worlds(self.drawn(), arms=("no_kd", *self.arms), recipe=recipe)
        plain = found.accuracy("no_kd")
        for arm in self.arms:
            gain = paired_interval(found.accuracy(arm), plain)
            teacher = float(found.accuracy(arm, role="teacher").mean())
            one = Gain(gain, teacher, float(plain.mean()), recipe.steps, float("nan"))
            yield "a", "b", arm, one, self.world.n_train


def thinned(known: PairedData, n: int) -> PairedData:
    """The same with n of its training samples, drawn at random, two of every class among them."""
    train = known.positions("train")
    stream = np.random.default_rng(derive(0, "atlas", "thinned"))
    order = torch.from_numpy(stream.permutation(len(train)))
    mine, target = train[order], known.target[train[order]]
    rank = torch.stack([(target[:i] == target[i]).sum() for i in range(len(target))])
    chosen = torch.cat([mine[rank < 2], mine[rank >= 2]])[:n]
    rest = [known.positions(one) for one in ("val", "test")]
    return known.select(torch.cat([torch.sort(chosen)[0], *rest]))


def mixed(
    shared: int, own_a: int, own_b: int, classes: int, n: int, *, wrong: float = 0.0, seed: int = 0
) -> PairedData:
    """A world whose modalities mix what they see: 40 outputs of a random network of two layers, with noise.

    Labels are the largest of `classes` random linear scores of all latents; a share `wrong` of those of
    training and validation is drawn at random.
    """
    stream = np.random.default_rng(derive(seed, "atlas", "mixed", str(shared), str(own_a), str(own_b)))
    total, latents = n + 1400, shared + own_a + own_b
    z = stream.standard_normal((total, latents))
    y = (z @ stream.standard_normal((latents, classes))).argmax(1)
    sides = {}
    for name, seen in (("a", z[:, : shared + own_a]), ("b", z[:, own_a:])):
        hidden = np.tanh(seen @ stream.standard_normal((seen.shape[1], 40)) / np.sqrt(seen.shape[1]) * 1.5)
        out = hidden @ stream.standard_normal((40, 40)) / np.sqrt(40.0)
        sides[name] = (out + 0.3 * stream.standard_normal(out.shape)).astype(np.float32)
    flipped = stream.random(total) < wrong
    flipped[n + 400 :] = False
    y = np.where(flipped, stream.integers(0, classes, total), y)
    where = {"train": np.arange(n), "val": np.arange(n, n + 400), "test": np.arange(n + 400, total)}
    names = tuple(f"class {i}" for i in range(classes))
    return PairedData("mixed", sides, y, where, names)


def units(rounds: int = ROUNDS) -> dict[str, Unit | WorldUnit]:
    """So many units of each set, and all of the worlds, by name: first one of each set, then another."""
    found: list[Unit | WorldUnit] = []

    def named(
        group: str, setting: str, pair: tuple[str, ...], arms: tuple[str, ...] = ARMS, **given: object
    ) -> None:
        found.append(Unit(group, setting, lambda: data.load(group, **given), pair, arms))

    def thin(
        group: str, setting: str, n: int, pair: tuple[str, ...], arms: tuple[str, ...], **given: object
    ) -> None:
        found.append(Unit(group, setting, lambda: thinned(data.load(group, **given), n), pair, arms))

    for n in (60, 200, 1000):
        for figure, swept in ((FIGURE2, "gamma_union"), (FIGURE3, "alpha")):
            for world in figure:
                at = f"{'rising alpha' if swept == 'alpha' else 'gamma'}={getattr(world, swept):.2f} n={n}"
                found.append(WorldUnit(at, replace(world, n_train=n)))
    for world in TABLE2:
        found.append(WorldUnit(f"table 2 gamma={world.gamma_union:.2f} n=200", replace(world, n_train=200)))
    for shared, a, b in ((10, 0, 0), (6, 2, 2), (2, 4, 4), (0, 5, 5), (4, 6, 0), (3, 0, 6)):
        for classes, n, wrong in ((2, 150, 0.0), (5, 500, 0.3)):
            at = f"shared={shared} own={a},{b} classes={classes} wrong={wrong} n={n}"
            make = partial(mixed, shared, a, b, classes, n, wrong=wrong)
            found.append(Unit("mixed", at, make, ("a", "b")))
    for snr, noise in ((-10, 0.25), (0, 0.25), (None, 0.25), (-10, 1.0), (0, 1.0)):
        for n in (200, 1000):
            at = f"{'clean' if snr is None else f'{snr} dB'} noise={noise} n={n}"
            given = {"speech_snr_db": snr, "image_noise": noise, "n_train": n, "n_val": 300, "n_test": 1500}
            named("av_digits", at, ("image", "speech"), TWO, **given)
    for fold in (0, 2):
        for n in (120, 400, 860):
            given = {"test_fold": fold, "val_fold": fold + 1}
            thin("ravdess", f"fold={fold} n={n}", n, ("audio", "video"), ARMS, **given)
    for n in (150, 500, 1000):
        thin("emoji", f"n={n}", n, ("image", "text"), TWO)
    for n in (100, 500):
        thin("crema_votes", f"n={n}", n, CROWD, ARMS, senses=CROWD)
    for mix in ("image_heavy", "text_heavy", "redundant", "synergistic"):
        for n in (300, 1500):
            given = {"mix": mix, "n_train": n, "n_val": 300, "n_test": 1500}
            named("shapes_vl", f"{mix} n={n}", ("image", "text"), TWO, **given)
    for n in (60, 200, 800):
        named("mfeat", f"n={n}", VIEWS, TWO, views=VIEWS, n_train=n)
    for components, snr in ((3, 10), (10, 10), (3, -5)):
        for n in (300, 1500):
            given = {"image_components": components, "speech_snr_db": snr, "noise": "pink"}
            sizes = {"n_train": n, "n_val": 400, "n_test": 2000}
            at = f"components={components} {snr} dB n={n}"
            named("av_mnist", at, ("image", "speech"), TWO, **given, **sizes)
    turn = {one.name: sum(other.group == one.group for other in found[:i]) for i, one in enumerate(found)}
    found = [one for one in found if turn[one.name] < rounds or isinstance(one, WorldUnit)]
    return {one.name: one for one in sorted(found, key=lambda one: turn[one.name])}


def train(unit: Unit | WorldUnit) -> pd.DataFrame:
    """The gains of a unit, from its file or measured."""
    file = RUNS / f"{unit.name}.gains.csv"
    if not file.is_file():
        began = time.process_time()
        rows = [
            {
                "set": unit.group,
                "setting": unit.setting,
                "teacher": teacher,
                "student": student,
                "samples": samples,
                "arm": arm,
                **one.as_row(),
            }
            for teacher, student, arm, one, samples in unit.gains()
        ]
        write_text(file, pd.DataFrame(rows).to_csv(index=False))
        print(f"{unit.name}: {len(rows)} gains, {time.process_time() - began:.1f} s of CPU", flush=True)
    return pd.read_csv(file)


def look(unit: Unit | WorldUnit) -> pd.DataFrame:
    """The evidence of a unit, from its file or gathered: a row a pair and arm; of worlds the mean of some."""
    file = RUNS / f"{unit.name}.evidence.csv"
    if not file.is_file():
        began = time.process_time()
        drawn = unit.drawn() if isinstance(unit, WorldUnit) else None
        sets = [unit.load()] if drawn is None else [drawn[i] for i in range(LOOKED_AT)]  # type: ignore[union-attr]
        rows = []
        kept: list[Known] = [{} for _ in sets]
        for teacher, student in unit.pairs:
            for arm in unit.arms:
                found = [
                    evidence(pair_of(one, teacher, student, seed=0).seen_by(SEES[arm]), known=known)
                    for one, known in zip(sets, kept, strict=True)
                ]
                mean = pd.DataFrame(found).mean().to_dict()
                rows.append({"teacher": teacher, "student": student, "arm": arm, **mean})
        write_text(file, pd.DataFrame(rows).to_csv(index=False))
        print(f"{unit.name}: evidence of {len(rows)}, {time.process_time() - began:.1f} s of CPU", flush=True)
    return pd.read_csv(file)


def nested(rows: pd.DataFrame) -> LeftOut:
    """Forecasts of every row by models that were chosen and fitted without its data set."""
    said, points = np.empty(len(rows)), np.empty(len(rows))
    for known, held in leave_set_out(rows["set"].tolist()):
        part = rows[known]
        choice, strength = chosen(part)
        model = fitted(part, CHOICES[choice], strength)
        said[held], points[held] = model.probability(rows[held]), model.gain(rows[held])
    return LeftOut(said, points)


def whole(known: Mapping[str, Unit | WorldUnit]) -> pd.DataFrame:
    """The atlas of these units, with what models that had not seen a row's set say of it."""
    parts = [
        train(one).merge(look(one), on=["teacher", "student", "arm"], validate="1:1")
        for one in known.values()
    ]
    rows = pd.concat(parts, ignore_index=True).sort_values("arm", kind="stable", ignore_index=True)
    for arm in rows["arm"].unique():
        mine = rows["arm"] == arm
        said = nested(rows[mine])
        rows.loc[mine, "foretold"], rows.loc[mine, "expected"] = said.probability, said.gain
    return rows


def main(arguments: Sequence[str]) -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="the beginning of units' names; default: all")
    text = "how many units of each data set; the file that ships has %(default)s"
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=text)
    parser.add_argument("--gains", action="store_true", help="only train")
    parser.add_argument("--evidence", action="store_true", help="only gather evidence")
    options = parser.parse_args(arguments)
    chosen = {
        n: u
        for n, u in units(options.rounds).items()
        if not options.names or n.startswith(tuple(options.names))
    }
    for unit in chosen.values():
        for wanted, act in ((not options.evidence, train), (not options.gains, look)):
            if wanted:
                act(unit)
    if not (options.names or options.gains or options.evidence):
        text = tidy(whole(chosen))
        write_text(ATLAS, text)
        manifest = json.loads((ATLAS.parent / "manifest.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        manifest["shipped"][ATLAS.name] = {"sha256": digest, "made_by": "../benchmarks/atlas.py"}
        write_text(ATLAS.parent / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
