"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from mmkd_lab.core.atomic import write_bytes, write_text, write_with


def test_content_is_written_as_given_and_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    assert write_text(path, "μ\r\n") == path
    assert path.read_bytes() == "μ\r\n".encode()
    write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_until_the_writer_returns_the_old_file_stands(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    seen = []

    def write(partial):
        partial.write_text("new")
        seen.append((path.read_text(), partial.suffix, partial.name.startswith(".")))

    write_with(path, write)
    assert seen == [("old", ".json", True)]
    assert path.read_text() == "new"


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def write(partial):
        partial.write_text("half")
        raise RuntimeError("no more disk")

    with pytest.raises(RuntimeError, match="no more disk"):
        write_with(path, write)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_others_may_read_what_the_umask_lets_them(tmp_path):
    path = write_bytes(tmp_path / "a", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
