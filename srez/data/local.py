"""Files and folders of this machine; data.remote has the same functions for gs:// and others."""

import glob
import os
import weakref
from pathlib import Path

from srez import files


class File:
    """A file, open for reading; `stream` is a binary file, `size` is in bytes.

    `stamp`, a list of whole numbers, tells a changed file. Raises OSError: it can't be opened.
    """

    def __init__(self, path):
        self.stream = open(path, "rb")  # noqa: SIM115 - closed with the last use of this object
        weakref.finalize(self, self.stream.close)
        self.stamp = _stamp(os.fstat(self.stream.fileno()))
        self.size = self.stamp[0]

    def read_at(self, offset, count):
        """Up to `count` bytes from `offset` on, fewer at the file's end; for any thread."""
        return os.pread(self.stream.fileno(), count, offset)


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

    Leaves out links to folders, folders with a hidden name, and what can't be listed.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(os.path.join(folder, below)) as entries:
                for entry in entries:
                    if not entry.is_dir():
                        yield below + entry.name
                    elif not entry.is_symlink() and not is_hidden(entry.name):
                        waiting.append(f"{below}{entry.name}/")
        except OSError:
            continue


def stamp(path):
    """Size and time of change: whole numbers that tell a changed file. Raises OSError: gone."""
    return _stamp(os.stat(path))


def text(path):
    """The content of a text file; bytes that are not UTF-8 are replaced."""
    return Path(path).read_text(errors="replace")


def _stamp(status):
    return [status.st_size, status.st_mtime_ns]
