import itertools
import json
import os
import shutil
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest

import srez.pictures.cache
from srez.data.source import open_source
from srez.pictures.cache import open_cache
from srez_input import Batches
from tests.conftest import FACES, ROOT


@pytest.fixture
def folder(faces, tmp_path):
    """A copy of the faces; picture 3 is broken."""
    folder = shutil.copytree(faces, tmp_path / "faces")
    (folder / "03.jpg").write_text("broken")
    return folder


def _batches(source, cache):
    batches = Batches(source, np.arange(FACES), 4, 64, 0, cache)
    return [high_res.numpy() for _, high_res in itertools.islice(batches.iterate(), 8)]


def test_no_cache_is_none(source):
    assert open_cache(source, "none") is None


@pytest.mark.parametrize("where", ["memory", "cache.bin"])
def test_a_cached_run_sees_the_same_batches(source, where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = open_cache(source, where)
    np.testing.assert_array_equal(_batches(source, None), _batches(source, cache))


def test_a_file_is_used_again(source, tmp_path, monkeypatch, capsys):
    first = open_cache(source, tmp_path / "cache")
    monkeypatch.setattr(srez.pictures.cache, "load_crops", None)
    again = open_cache(source, tmp_path / "cache")
    assert (first.crops == again.crops).all()
    assert "made by an earlier run" in capsys.readouterr().out


def test_its_size_is_said_first(source, tmp_path, capsys):
    open_cache(source, tmp_path / "cache")
    assert capsys.readouterr().out.startswith("Cache: 1 MiB in ")


def test_a_file_of_other_pictures_is_made_anew(source, faces, tmp_path):
    open_cache(source, tmp_path / "cache")
    folder = shutil.copytree(faces, tmp_path / "other")
    (folder / "00.jpg").rename(folder / "zz.jpg")
    cache = open_cache(open_source(folder), tmp_path / "cache")
    difference = cache.crops[-1].astype(int) - open_cache(source, "memory").crops[0]
    assert not difference.any()


def test_another_file_is_never_overwritten(source, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match=r"notes\.txt is no cache of srez"):
        open_cache(source, tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failed_cache_leaves_nothing(source, tmp_path, monkeypatch):
    monkeypatch.setattr(srez.pictures.cache, "load_crops", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        open_cache(source, tmp_path / "cache")
    assert os.listdir(tmp_path) == []


def test_short_memory_is_refused(source, monkeypatch):
    monkeypatch.setattr(srez.pictures.cache, "_free_memory", lambda: 2**20)
    with pytest.raises(OSError, match="--cache needs 1 MiB .* free memory.*--cache=none"):
        open_cache(source, "memory")


def test_a_short_disk_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Mock(free=2**20))
    with pytest.raises(OSError, match="--cache needs 1 MiB .* free disk for"):
        open_cache(source, tmp_path / "cache")
    assert os.listdir(tmp_path) == []


def test_bad_pictures_are_replaced_as_without_a_cache(folder, capsys):
    for name in ("05.jpg", "08.jpg"):
        (folder / name).write_text("broken")
    source = open_source(folder)
    cache = open_cache(source, "memory")
    assert np.flatnonzero(cache.bad).tolist() == [3, 5, 8]
    np.testing.assert_array_equal(_batches(source, None), _batches(source, cache))
    assert "05.jpg" in capsys.readouterr().err


def test_a_picture_mended_under_its_name_is_read_anew(faces, folder, tmp_path):
    assert open_cache(open_source(folder), tmp_path / "cache").bad[3]
    shutil.copy(faces / "03.jpg", folder / "03.jpg")
    assert not open_cache(open_source(folder), tmp_path / "cache").bad.any()


def test_a_file_of_an_older_kind_is_made_anew(source, tmp_path):
    old = json.dumps({"srez": "cache 1", "fingerprint": source.fingerprint}).encode()
    size = FACES * 144 * 144 * 3 + FACES
    (tmp_path / "cache").write_bytes(old.ljust(4096) + bytes(size))
    assert open_cache(source, tmp_path / "cache").crops.any()


@pytest.mark.parametrize("cut", [1, 10, 40, 900_000])
def test_a_file_without_its_last_bytes_is_made_anew(folder, tmp_path, cut, capsys):
    source, path = open_source(folder), tmp_path / "cache"
    open_cache(source, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    open_cache(source, path)
    assert path.read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["cache", "faces"]
    assert "made by an earlier run" not in capsys.readouterr().out


@pytest.mark.parametrize("names", [("max", "current"), ("limit_in_bytes", "usage_in_bytes")])
@pytest.mark.parametrize(("most", "free"), [("1000", 700), ("100", 0), ("max", None)])
def test_a_containers_limit_counts(tmp_path, monkeypatch, most, free, names):
    (tmp_path / f"memory.{names[0]}").write_text(f"{most}\n")
    (tmp_path / f"memory.{names[1]}").write_text("300\n")
    monkeypatch.setattr(srez.pictures.cache, "_CGROUP", tmp_path)
    found = srez.pictures.cache._free_memory()
    assert found == free if free is not None else found > 2**20


LIMITED = """
import resource
from srez.pictures.cache import _free_memory
for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (8 << 30, before[1]))
    print(_free_memory())
    resource.setrlimit(limit, before)
"""


def test_a_limit_of_the_process_counts():
    command = [sys.executable, "-c", LIMITED]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    used = [(8 << 30) - int(free) for free in process.stdout.split()]
    assert len(used) == 2 and all(1 << 20 < each < 7 << 30 for each in used), process.stderr
