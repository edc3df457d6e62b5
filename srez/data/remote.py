"""Files and folders behind names with :// (gs://, ram://): data.local's functions by TensorFlow."""

import contextlib
import posixpath
import threading

import tensorflow as tf

from srez.files import MAX_BYTES, printable


class File:
    """A file open for reads at any place, by any number of threads; `size` in bytes.

    `stamp`, a list of whole numbers, tells a changed file. Raises OSError: it can't be opened.
    """

    def __init__(self, path):
        self._path = path
        self.stamp = stamp(path)
        self.size = self.stamp[0]
        self._file = tf.io.gfile.GFile(path, "rb")
        self._lock = threading.Lock()  # a place and a read there belong together

    def read_at(self, offset, count):
        """Up to `count` bytes from `offset` on; fewer at the file's end."""
        with _os_errors(self._path), self._lock:
            self._file.seek(offset)
            return self._file.read(count)


def exists(path):
    """Whether there is anything of that name."""
    with _os_errors(path):
        return tf.io.gfile.exists(path)


def is_folder(path):
    """Whether it is a folder."""
    with _os_errors(path):
        return tf.io.gfile.isdir(path)


def is_file(path):
    """Whether it is a file."""
    return exists(path) and not is_folder(path)


def matches(pattern):
    """The paths that a pattern stands for (*, ?, [abc]), sorted."""
    with _os_errors(pattern):
        return sorted(tf.io.gfile.glob(pattern))


def parent(path):
    """The folder that a file or folder lies in."""
    return posixpath.dirname(path.rstrip("/"))


def walk(folder, is_hidden):
    """Yields the paths of all files below a folder, relative to it; in no order.

    Folders with a hidden name are left out.
    """
    top = folder.rstrip("/") + "/"
    with _os_errors(folder):
        for path, _, files in tf.io.gfile.walk(folder):
            below = (path.rstrip("/") + "/").removeprefix(top)
            if not any(map(is_hidden, below.split("/"))):
                yield from (below + name for name in files)


def open_file(path):
    """A file open for reading, binary. Raises OSError: it can't be opened."""
    with _os_errors(path):
        return tf.io.gfile.GFile(path, "rb")


def read_file(path, name=None):
    """The bytes of a file. Raises OSError: not there, or too large."""
    with _os_errors(path), tf.io.gfile.GFile(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"{printable(name or path)}: larger than {MAX_BYTES >> 20} MiB")
    return data


def size(path):
    """Bytes of a file; -1 if it is gone."""
    try:
        return stamp(path)[0]
    except OSError:
        return -1


def stamp(path):
    """Size and time of change: whole numbers that tell a changed file. Raises OSError: gone."""
    with _os_errors(path):
        status = tf.io.gfile.stat(path)
        return [status.length, status.mtime_nsec]


def text(path):
    """A text file's content; what is not UTF-8 is replaced."""
    return read_file(path).decode(errors="replace")


@contextlib.contextmanager
def _os_errors(path):
    """Makes TensorFlow's errors OSErrors of one line that names the path."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{printable(path)}: {printable(error.message)}") from error
