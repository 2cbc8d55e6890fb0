"""Work that nobody waits for ends, here and in nothing else."""

from __future__ import annotations

import threading

import pytest

from mmkd_lab.core.calling_off import CalledOff, go_on, heeding


def test_only_what_heeds_ends():
    go_on()
    with heeding(lambda: False):
        go_on()
        with heeding(lambda: True), pytest.raises(CalledOff):
            go_on()
        go_on()
    with pytest.raises(CalledOff), heeding(lambda: True):
        go_on()
    go_on()


def test_another_thread_goes_on():
    ended = []
    with heeding(lambda: True):
        other = threading.Thread(target=lambda: ended.append(go_on()))
        other.start()
        other.join()
    assert ended == [None]
