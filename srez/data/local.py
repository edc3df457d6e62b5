"""Files and folders of this machine; data.remote has the same functions for gs:// and others."""

import glob
import os
import threading
import weakref
from pathlib import Path

from srez import files


class LocalFile:
    """A file, open for reading; `stream` is a binary file, `size` is in bytes.

    `stamp`, a list of whole numbers, tells a changed file. Raises OSError: it can't be opened.
    """

    def __init__(self, path):
        self.stream = open(path, "rb")  # noqa: SIM115, it stays open as long as this object lives
        weakref.finalize(self, self.stream.close)
        self.stamp = _stamp(os.fstat(self.stream.fileno()))
        self.size = self.stamp[0]
        self._lock = threading.Lock()

    def read_at(self, offset, count):
        """Up to `count` bytes from `offset` on, fewer at the file's end; for any thread."""
        if hasattr(os, "pread"):
            return os.pread(self.stream.fileno(), count, offset)
        with self._lock:  # Windows
            self.stream.seek(offset)
            return self.stream.read(count)


open_file = LocalFile
exists = os.path.exists
is_folder = os.path.isdir
is_file = os.path.isfile  # a regular file, or a link to one: reading a pipe would never end
read_file = files.read_file


def matches(pattern):
    """The paths that fit a pattern (*, ?, [abc], ** for folders at any depth), sorted."""
    return sorted(glob.glob(pattern, recursive=True))


def parent(path):
    """The folder that holds a file or folder."""
    return os.path.dirname(os.path.abspath(path))


def walk(folder, is_hidden):
    """Yields the paths of all files below a folder, relative to it, with slashes; in no order.

    Follows links to folders, after all else, so that each folder comes once, by the same name each
    time. Leaves out folders with a hidden name, and what can't be listed.
    """
    waiting, links, seen = [""], [], set()
    while waiting or links:
        if not waiting:
            links.sort(reverse=True)
            waiting.append(links.pop())
        below = waiting.pop()
        try:
            status = os.stat(os.path.join(folder, below))
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(os.path.join(folder, below)) as entries:
                for entry in entries:
                    if not entry.is_dir():
                        yield below + entry.name
                    elif not is_hidden(entry.name):
                        place = links if entry.is_symlink() else waiting
                        place.append(f"{below}{entry.name}/")
        except OSError:
            continue


def stamp(path):
    """Size and time of change: whole numbers that tell a changed file. Raises OSError: gone."""
    return _stamp(os.stat(path))


def text(path):
    """The content of a text file; bytes that are not UTF-8 are replaced."""
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _stamp(status):
    return [status.st_size, status.st_mtime_ns]
