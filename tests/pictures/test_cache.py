import json
import os
import resource
import shutil
from unittest.mock import Mock

import pytest

import srez.pictures.cache
from srez.data.source import open_source
from srez.pictures.cache import open_cache
from tests.conftest import FACES


@pytest.fixture
def folder(folder):
    """A copy of the faces; picture 3 is broken."""
    (folder / "03.jpg").write_text("broken")
    return folder


def test_no_cache_is_none(source):
    assert open_cache(source, "none") is None


def test_a_file_is_used_again(source, tmp_path, monkeypatch, capsys):
    first = open_cache(source, tmp_path / "cache")
    assert capsys.readouterr().out.startswith("Cache: 1 MiB in ")
    monkeypatch.setattr(srez.pictures.cache, "load_crops", None)
    again = open_cache(source, tmp_path / "cache")
    assert (first.crops == again.crops).all()
    assert "made by an earlier run" in capsys.readouterr().out


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


@pytest.mark.parametrize(("where", "what"), [("memory", "memory"), ("cache", "disk for cache")])
def test_short_memory_or_a_short_disk_is_refused(source, here, monkeypatch, where, what):
    monkeypatch.setattr(srez.pictures.cache, "_free_memory", lambda: 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Mock(free=2**20))
    with pytest.raises(OSError, match=f"--cache needs 1 MiB .* free {what}: .*--cache=none"):
        open_cache(source, where)
    assert os.listdir(here) == []


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


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_counts(monkeypatch, name):
    limits = {getattr(resource, name): 100 * 2**20}  # less than this process has already
    monkeypatch.setattr(
        resource, "getrlimit", lambda limit: (limits.get(limit, resource.RLIM_INFINITY), None)
    )
    assert srez.pictures.cache._free_memory() == 0
