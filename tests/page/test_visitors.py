"""The visitors' table, their folders, and the limits."""

import os
import time

import gradio as gr
import pytest

from srez.page import visitors
from srez.page.visitors import Visitors, number_in, size_of


@pytest.fixture
def table(tmp_path):
    """A table whose server's folder has a canary beside it."""
    (tmp_path / "server").mkdir()
    (tmp_path / "canary").mkdir()
    return Visitors(tmp_path / "server")


@pytest.mark.parametrize("session", ["..", ".", "", "../../canary", "a/b", "\0", "x" * 9999])
def test_a_sessions_name_is_no_folders_name(table, session):
    folder = table.fresh(session)
    assert folder.parents[1] == table.folder / "visitors"
    assert len(folder.parent.name) == 32 and folder.parent.name.isalnum()
    table.leave(session)
    assert not folder.parent.exists() and folder.parents[1].is_dir()
    table.leave(session)
    assert table.folder.is_dir() and (table.folder.parent / "canary").is_dir()


@pytest.mark.parametrize("session", [None, 5, ["a"], {"a": 1}])
def test_without_a_session_there_is_no_folder(table, session):
    with pytest.raises(gr.Error, match="No session: load the page again"):
        table.fresh(session)
    assert not list(table.folder.iterdir())


def test_one_visitor_keeps_one_folder_and_no_other_has_it(table):
    first, again, other = table.fresh("a"), table.fresh("a"), table.fresh("b")
    assert first.parent == again.parent != other.parent and first != again


def test_a_folder_that_leads_elsewhere_is_not_removed(table):
    folder = table.fresh("a").parent
    canary = table.folder.parent / "canary"
    (canary / "feather").touch()
    folder.rename(table.folder / "moved")
    folder.symlink_to(canary)
    table.leave("a")
    assert (canary / "feather").exists()


def test_whoever_was_idle_longest_goes_when_the_table_is_full(table, monkeypatch):
    monkeypatch.setattr(visitors, "MAX_VISITORS", 2)
    first, second = table.fresh("a"), table.fresh("b")
    table.fresh("a")
    third = table.fresh("c")
    assert first.exists() and third.exists() and not second.exists()
    assert [table.is_here(name) for name in "abc"] == [True, False, True]


def test_what_nobody_removes_is_gone_after_an_hour(table, monkeypatch):
    _, active = table.fresh("idle"), table.fresh("active")
    for name in ("visitors/orphan", "empty", "full"):
        (table.folder / name).mkdir()
    for name in ("tmpbroken", "tmpnew", "lock", "full/face.png"):
        (table.folder / name).touch()
    old = time.time() - visitors.KEPT_SECONDS - 1
    for path in (*table.folder.glob("*"), *table.folder.glob("visitors/*")):
        if path not in (table.folder / "tmpnew", table.folder / "visitors", active.parent):
            os.utime(path, (old, old))
    monkeypatch.setattr(visitors, "TIDY_SECONDS", 0)
    table.check_room("active")
    names = sorted(path.name for path in table.folder.iterdir())
    assert names == ["full", "lock", "tmpnew", "visitors"]
    assert list((table.folder / "visitors").iterdir()) == [active.parent]
    assert not table.is_here("idle")


def test_one_address_has_a_limit_and_another_is_none_the_worse(table, monkeypatch):
    monkeypatch.setattr(visitors, "MAX_UPLOADED", 100)
    table.expect("me", 60)
    table.arrived(60)
    with pytest.raises(gr.Error, match="in an hour from you: try again later"):
        table.expect("me", 60)
    table.expect("you", 60)
    monkeypatch.setattr(visitors, "TIDY_SECONDS", 0)
    monkeypatch.setattr(visitors, "KEPT_SECONDS", 0)
    table.expect("me", 60)


def test_uploads_under_way_count_for_all(table, monkeypatch):
    monkeypatch.setattr(visitors, "MAX_OF_ALL", 100)
    table.expect("me", 60)
    with pytest.raises(gr.Error, match="The page's disk is full"):
        table.expect("you", 60)
    table.arrived(60)
    table.expect("you", 60)


def test_a_nearly_full_disk_takes_no_more(table, monkeypatch):
    monkeypatch.setattr(visitors, "MIN_FREE", 2**62)
    with pytest.raises(gr.Error, match="The page's disk is full: try again later"):
        table.fresh("a")
    with pytest.raises(gr.Error, match="The page's disk is full: try again later"):
        table.expect("me", 1)


def test_small_files_and_folders_count_too(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "empty").touch()
    assert size_of(tmp_path) == 2 * visitors.LEAST


def test_only_files_of_the_servers_folder_are_its_own(table):
    own, canary = table.folder / "own.png", table.folder.parent / "canary" / "feather"
    own.touch()
    canary.touch()
    (table.folder / "link").symlink_to(canary)
    (table.folder / "circle").symlink_to(table.folder / "circle")
    assert table.is_ours(str(own))
    others = (canary, table.folder, "link", "circle", "../canary/feather", "x" * 9999, "a\0b")
    for path in (*others, "", None, 5, ["x"], {}):
        inside = table.folder / path if isinstance(path, str) else path
        assert not table.is_ours(path) and not table.is_ours(inside)


@pytest.mark.parametrize(
    "value", [None, True, "1", [1], {}, -1, 1.5, float("nan"), float("inf"), 10**9, 1j]
)
def test_anything_but_a_number_in_its_range_is_refused(value):
    with pytest.raises(gr.Error, match="^.Face: give a number from 0 to 1.$"):
        number_in(value, 0, 1, "Face")
