"""The classes of NYU Depth V2: 894 as published, 40 and 13 made of them, as numbers; and its official test.

Numbers begin with 1, and 0 is no label: of `classMapping40.mat` (Gupta, Arbelaez and Malik 2013),
`class13Mapping.mat` (Couprie et al. 2013), which maps the 40, and `splits.mat`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int16]

#: Of values in a file: none here, and such as may not occur.
VOID, WRONG = -1, -2
FRAMES = 1449
_40 = (
    "wall, floor, cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, blinds, desk, "
    "shelves, curtain, dresser, pillow, mirror, floor mat, clothes, ceiling, books, refridgerator, "
    "television, paper, towel, shower curtain, box, whiteboard, person, night stand, toilet, sink, lamp, "
    "bathtub, bag, otherstructure, otherfurniture, otherprop"
)
_13 = "bed, books, ceiling, chair, floor, furniture, objects, picture, sofa, table, tv, wall, window"
#: The names of the 40 and of the 13 classes, in their order.
NAMES = {40: tuple(_40.split(", ")), 13: tuple(_13.split(", "))}
_ONE_EACH = (
    "21 11 3 157 5 83 19 28 59 88 64 7 80 36 42 89 169 119 122 143 141 4 85 17 172 15 135 123 26 45 331 158 "
    "124 24 144 136 55"
)
_STRUCTURE = (
    "8 25 33 38 51 53 57 58 62 65 79 94 104 112 134 153 215 216 223 225 238 241 242 256 295 301 339 342 354 "
    "363 372 380 392 408 412 453 456 463 477 497 541 550 553 567 573 582 591 609 612 615 642 645 657 658 659 "
    "663 667 668 686 700 702 777 778 782 850 861 868 874"
)
_FURNITURE = (
    "12 43 48 50 87 106 111 161 163 174 183 204 214 219 221 224 236 262 278 291 298 313 343 344 356 359 373 "
    "393 401 414 418 419 430 443 444 447 448 457 458 460 462 475 479 485 486 493 494 498 499 509 510 515 521 "
    "524 540 549 551 554 556 558 576 580 608 625 703 734 770 772 797 800 803 804 813 814 815 820 829 835 858 "
    "863 882 892"
)
_OF_40 = "12 5 6 1 4 9 10 12 13 6 8 6 13 10 6 13 6 7 7 5 7 3 2 6 11 7 7 7 7 7 7 6 7 7 7 7 7 7 6 7"
#: A bit a frame, the first frame first: 1 for the 654 of the test.
_TEST = (
    "c087c81fffe601be001e1fe000000e0fbc8000e003bf1fffffc3f01c00000040010383f801fc07380ffe00033ff00001"
    "fc38003c0007e0ff0007cff80000001fbffc38e00e3fffe03e03c03e18f800fc1861c31f9f87cce07f8c1f3c030003ff"
    "ffffe001f07c0e00fffc70fc0e00000000700e071e00e003ce7f8003e0f0700e01c60198c0003ff1ff7f780e3fe301ff"
    "fc7e673f01f0fff1f07ce003c7ff803f0ffee7f06000f3f038f0198001fe7f83fc0f0780ff80"
)


def _numbers(text: str) -> Table:
    return np.array(text.split(), dtype=np.int16)


def of_894() -> Table:
    """(895,) the number among the 40 classes, 1 to 40, of each of the 894; 0 of 0."""
    found = np.full(895, 40, dtype=np.int16)
    found[_numbers(_ONE_EACH)] = np.arange(1, 38)
    found[_numbers(_STRUCTURE)], found[_numbers(_FURNITURE)], found[0] = 38, 39, 0
    return found


def of_40() -> Table:
    """(41,) the number among the 13 classes, 1 to 13, of each of the 40; 0 of 0."""
    return np.concatenate([np.zeros(1, dtype=np.int16), _numbers(_OF_40)])


def table(held: int, wanted: int, mapping: Table | None = None) -> tuple[int, ...]:
    """What each value from 0 of a label map with `held` classes is among the `wanted`, from 0: `VOID` of 0.

    `mapping` is another one from the 894 to the 40 than the published.
    """
    found = np.arange(held + 1, dtype=np.int16)
    if held == 894:
        found = of_894() if mapping is None else mapping
    if wanted == 13 and held != 13:
        found = of_40()[found]
    return tuple((found - 1).tolist())


def official_test() -> npt.NDArray[np.bool_]:
    """(1449,) the frames of the official test."""
    bits = np.frombuffer(bytes.fromhex("".join(_TEST)), dtype=np.uint8)
    return np.unpackbits(bits)[:FRAMES].astype(bool)
