"""Whole files or none: safe reads, atomic writes, locks, checksums."""

import contextlib
import errno
import hashlib
import importlib.resources
import os
import secrets
import stat
from pathlib import Path

from srez.console import complain

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# What file systems answer that know no locks, or no way to bring a folder's names to the disk.
NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
_LOCKED_BYTE = 2**30  # beyond all that is in a lock's file
MAX_BYTES = 2**28  # the largest file of a picture


def resource(name):
    """The path of a file or folder that comes with srez.

    It lies within the package; in a clone that of weights/ and docs/ lies next to it.
    """
    package = importlib.resources.files("srez")
    return package / name if (package / name).exists() else package.parent / name


def read_file(path, name=None):
    """The bytes of a file; an error calls it `name`.

    Raises:
        OSError: it isn't there, is a pipe or a device, or is larger than MAX_BYTES.
    """
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        name = printable(os.fspath(path) if name is None else name)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{name}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def printable(text):
    """A file's name that fits a line: line ends, control and invalid characters are escaped."""
    return repr(os.fspath(text))[1:-1]


def make_folder(path):
    """Makes a folder, and the folders above it, unless they are there.

    Raises:
        OSError: it can't be made; NotADirectoryError if a file has its name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path} is a file: give a folder") from error


def behind_links(path):
    """The Path that a link leads to, which need not be there; any other path as it is."""
    return Path(os.path.realpath(path) if os.path.islink(path) else path)


@contextlib.contextmanager
def atomic_path(path):
    """Gives a temporary path next to `path`, and renames it after the block, or removes it.

    If `path` is a link, the file that it leads to is written, and the link stays. An OSError in
    writing names `path`.
    """
    path, given = behind_links(path), path
    # As relative as `path`: TensorFlow can't name a folder above that isn't UTF-8.
    temporary = path.parent / f".{secrets.token_hex(8)}{path.suffix}"
    try:
        temporary.touch(exist_ok=False)
        yield str(temporary)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # a read-only disk
            temporary.unlink(missing_ok=True)
        number = getattr(error, "errno", None)
        if number and error.filename in (None, str(temporary)):
            raise OSError(number, error.strerror, str(given)) from error
        raise


def write_text(path, text):
    """Writes a text file as UTF-8, whole or not at all; odd file names keep their bytes.

    Raises OSError: it can't be written.
    """
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def locked(path):
    """Opens a file, or makes it, and holds it: only one process at a time can do so.

    The lock ends with the process, however the process ends. Where the file system has no locks, it
    says so and goes on without.

    Raises:
        BlockingIOError: another process holds it; `holder` is what that process wrote in the file.
    """
    with open(path, "a+", encoding="utf-8", errors="replace") as file:
        file.seek(0)
        try:
            _lock(file)
        except BlockingIOError as error:
            error.holder = file.read().strip()
            raise
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
            complain(
                f"{printable(path)}: no locks on this file system ({error.strerror}): see to it "
                "yourself that only one process uses the folder"
            )
        yield file


def _lock(file):
    """Locks an open file. Raises BlockingIOError: another process holds it."""
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    file.seek(_LOCKED_BYTE)  # Windows locks bytes, and nobody else may read them
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(*error.args) from error
    finally:
        file.seek(0)


def sha256(path):
    """The hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_disk(path):
    """Waits until a file, or a folder's list of names, is on the disk, if it can be known."""
    if os.name == "nt" and os.path.isdir(path):
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)
