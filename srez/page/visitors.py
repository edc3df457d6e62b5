"""Who uses the page: where each one's files lie, and how much there may be.

What a browser sends is never a path: a session's name is a key of a table and nothing else, and the
folders' names are drawn here. Read from top to bottom: folders -> limits -> tidying -> values.
"""

import contextlib
import os
import secrets
import shutil
import threading
import time
from pathlib import Path

import gradio as gr

from srez.files import printable

KEPT_SECONDS = 3600  # that an upload or a result is kept, at most
MAX_VISITORS = 1000  # with files at a time: then he goes first who was idle longest
MAX_OF_ONE = 2**30  # bytes of one visitor's results: some two thousand answers
MAX_UPLOADED = 2**31  # bytes from one address in KEPT_SECONDS
MAX_OF_ALL = 2**33  # bytes in the server's folder
MIN_FREE = 2**28  # bytes that are left free on its disk
LEAST = 2**16  # bytes that a file or folder counts at least: many small ones fill a disk, too
TIDY_SECONDS = 60  # between two looks for what is too old
FULL = "the page's disk is full: try again later"


class Visitors:
    """The table of the visitors, and their folders inside the server's own `folder`."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self._home = self.folder / "visitors"
        self._lock = threading.Lock()
        self._table = {}  # a session's name -> its folder; who was idle longest comes first
        self._uploads = {}  # address -> [(when, bytes)] in the last KEPT_SECONDS
        self._arriving = 0  # bytes of the uploads that are under way
        self._tidied = time.time()

    def fresh(self, session):
        """A new folder for one answer: of an old address a browser shows the old picture.

        Raises gr.Error: there is no session, or no room for another answer.
        """
        if not isinstance(session, str):
            raise refused("No session: load the page again")
        self.check_room(session)
        with self._lock:
            own = self._table.pop(session, None) or self._home / secrets.token_hex(16)
            self._table[session] = own
            while len(self._table) > MAX_VISITORS:
                self._remove(self._table.pop(next(iter(self._table))))
            folder = own / secrets.token_hex(4)
            folder.mkdir(parents=True)
        return folder

    def leave(self, session):
        """Removes what was made for a visitor."""
        with self._lock:
            self._remove(self._table.pop(session, None))

    def is_here(self, session):
        """Whether a visitor has files, and hasn't left."""
        return session in self._table

    def is_ours(self, path):
        """Whether a path is that of a file in the server's folder, wherever its links lead."""
        try:
            path = Path(path).resolve()
            return self.folder in path.parents and path.is_file()
        except (OSError, RuntimeError, TypeError, ValueError):  # too long, links in a circle, None
            return False

    def _remove(self, folder):
        if folder and self.folder in folder.resolve().parents:
            shutil.rmtree(folder, ignore_errors=True)

    def check_room(self, session):
        """Raises gr.Error: there is no room for another answer."""
        self._tidy()
        own = self._table.get(session)
        if own and size_of(own) > MAX_OF_ONE:
            raise refused(
                f"You have {MAX_OF_ONE >> 20} MiB of results: load the page again to remove them"
            )
        if self._room() < 0:
            raise refused(FULL.capitalize())

    def expect(self, address, length):
        """Notes an upload of `length` bytes from an address, until it has `arrived`.

        Raises gr.Error: there is no room for it.
        """
        self._tidy()
        room = self._room()
        with self._lock:
            recent = self._uploads.setdefault(address, [])
            if length + sum(size for _, size in recent) > MAX_UPLOADED:
                raise refused(
                    f"More than {MAX_UPLOADED >> 20} MiB in an hour from you: try again later"
                )
            if length > room - self._arriving:
                raise refused(FULL.capitalize())
            recent.append((time.time(), length))
            self._arriving += length

    def arrived(self, length):
        """Notes the end of an upload that was expected."""
        with self._lock:
            self._arriving -= length

    def _room(self):
        """How many bytes may still be written; below 0 there are too many already."""
        free = shutil.disk_usage(self.folder).free - MIN_FREE
        return min(MAX_OF_ALL - size_of(self.folder), free)

    def _tidy(self):
        """Removes what is too old and what nobody else removes, once in TIDY_SECONDS."""
        with self._lock:
            now = time.time()
            if now - self._tidied < TIDY_SECONDS:
                return
            self._tidied, oldest = now, now - KEPT_SECONDS
            for address, uploads in list(self._uploads.items()):
                self._uploads[address] = [upload for upload in uploads if upload[0] > oldest]
                if not self._uploads[address]:
                    del self._uploads[address]
            for session, folder in list(self._table.items()):
                if not _is_newer(folder, oldest):
                    self._remove(self._table.pop(session))
            known = set(self._table.values())
            for path in [*self._home.glob("*"), *self.folder.glob("*")]:
                if path in known or path == self._home or _is_newer(path, oldest):
                    continue
                if path.parent == self._home:  # made for a visitor who had just left
                    self._remove(path)
                    continue
                with contextlib.suppress(OSError):  # Gradio leaves these
                    if path.is_dir():
                        path.rmdir()  # the folder of an upload that is gone
                    elif path.name.startswith("tmp"):  # of an upload that broke off
                        path.unlink()


def size_of(folder):
    """How many bytes the files and folders in a folder take, each LEAST at least."""
    total = 0
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):  # gone meanwhile
                total += max(os.lstat(os.path.join(where, name)).st_size, LEAST)
    return total


@contextlib.contextmanager
def gone(name):
    """Tells a visitor that what he uploaded is gone: it is removed after an hour, or with him."""
    try:
        yield
    except FileNotFoundError as error:
        raise refused(f"{name} is gone: upload it again") from error


def named(text, path):
    """A line on an upload, which names it without the folder that it lies in."""
    return str(text).replace(f"{printable(str(path.parent))}/", "")


def refused(words):
    """The gr.Error that tells a visitor, and not the terminal, why something isn't done."""
    return gr.Error(words, print_exception=False)


def number_in(value, least, most, name):
    """A number that a browser sent. Raises gr.Error: it is none from `least` to `most`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # NaN isn't, either
        raise refused(f"{name}: give a number from {least:,} to {most:,}")
    return value


def _is_newer(path, when):
    try:
        return path.stat().st_mtime > when
    except OSError:
        return False
