"""Files and folders of this machine; data.remote has the same functions for gs:// and its like."""

import glob
import os
import weakref
from pathlib import Path

from srez import files


class File:
    """A file open for reads at any place, by any number of threads; `size` in bytes.

    `stamp`, a list of whole numbers, tells a changed file. Raises OSError: it can't be opened.
    """

    def __init__(self, path):
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self.stamp = _stamp(os.fstat(self._descriptor))
        self.size = self.stamp[0]

    def read_at(self, offset, count):
        """Up to `count` bytes from `offset` on; fewer at the file's end."""
        return os.pread(self._descriptor, count, offset)


def exists(path):
    """Whether there is anything of that name."""
    return os.path.exists(path)


def is_folder(path):
    """Whether it is a folder, or a link to one."""
    return os.path.isdir(path)


def is_file(path):
    """Whether it is a regular file, or a link to one: a pipe would never end."""
    return os.path.isfile(path)


def matches(pattern):
    """The paths that a pattern stands for (*, ?, [abc], ** for folders at any depth), sorted."""
    return sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []


def parent(path):
    """The folder that a file or folder lies in."""
    return os.path.dirname(os.path.abspath(path))


def walk(folder, is_hidden):
    """Yields the paths of all files below a folder, relative to it, with slashes; in no order.

    Links to folders and what can't be listed are left out, as are folders with a hidden name.
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


def open_file(path):
    """A file open for reading, binary. Raises OSError: it can't be opened."""
    return open(path, "rb")


def read_file(path, name=None):
    """The bytes of a file. Raises OSError: not there, a pipe or a device, or too large."""
    return files.read_file(path, name)


def size(path):
    """Bytes of a file; -1 if it is gone."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def stamp(path):
    """Size and time of change: whole numbers that tell a changed file. Raises OSError: gone."""
    return _stamp(os.stat(path))


def text(path):
    """A text file's content; what is not UTF-8 is replaced."""
    return Path(path).read_text(errors="replace")


def _stamp(status):
    return [status.st_size, status.st_mtime_ns]
