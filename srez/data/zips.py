"""Files in a zip, read in place: nothing is extracted, nothing that the zip says is trusted.

Python's zipfile reads the directory. The files are read here: by any number of threads, up to a
limit of size, with their checksums.
"""

import stat
import struct
import sys
import typing
import zipfile
import zlib

from srez.files import MAX_BYTES, printable

ENCRYPTED = 0xFFFF  # stands for a method
_OTHERS = {  # archives of other kinds, by what is in their first bytes
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"ustar": "a tar archive",
    b"\x1f\x8b\x08": "a gzip file",
}
_NO_ZIP = (  # what zipfile raises on a damaged directory
    zipfile.BadZipFile,  # no directory, or none of a zip
    struct.error,  # it is cut off within a number
    ValueError,  # an offset below 0; a name that is no UTF-8
    NotImplementedError,  # a version of the format that doesn't exist
    OSError,  # it can't be read, or an offset is too large to seek
)
_ROOM = 256  # bytes that an entry's name and extra fields, which precede its data, rarely fill
_LOCAL = struct.Struct("<4s22xHH")  # signature, lengths of name and extra fields


class Entry(typing.NamedTuple):
    """A picture's `name` in a part of the dataset, and in a zip what it takes to read it.

    `offset` is where its header begins, `method` a number of zipfile's or ENCRYPTED; sizes are in
    bytes.
    """

    name: str
    offset: int = 0
    method: int = 0
    crc: int = 0
    size: int = 0
    packed: int = 0


def list_zip(file, path):
    """Yields the Entries of a zip, an open binary file, in its directory's order.

    Leaves out symbolic links. If the zip holds a name twice, the last entry counts. Names are
    labels, not paths: an absolute one does no harm.

    Raises:
        OSError: no whole zip; one line that names `path`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    except _NO_ZIP as error:
        file.seek(0)
        start = file.read(1024)
        other = next((words for mark, words in _OTHERS.items() if mark in start[:265]), "")
        if b"<html" in start.lower():
            reason = "is an HTML page, not a zip: download it again"
        elif other:
            reason = f"is {other}, not a zip: unpack it, and give the folder"
        else:
            words = printable(str(error))
            reason = f"is no whole zip archive ({words}): is the download complete?"
        raise OSError(f"--dataset={path} {reason}") from error
    files = {info.filename: info for info in found if not stat.S_ISLNK(info.external_attr >> 16)}
    for name, info in files.items():
        method = ENCRYPTED if info.flag_bits & 1 else info.compress_type
        # An offset outside of the file is damage, which is found when the picture is read.
        offset = info.header_offset if 0 <= info.header_offset < sys.maxsize else sys.maxsize
        yield Entry(name, offset, method, info.CRC, info.file_size, info.compress_size)


def read_zipped(file, name, entry):
    """The bytes of an Entry of an open file, of data.local or data.remote; stored or deflated.

    Raises:
        OSError: it is damaged, encrypted, larger than MAX_BYTES or not as large as the zip says;
            one line that calls it `name`.
    """
    name = printable(name)
    if entry.method == ENCRYPTED:
        raise OSError(f"{name}: the zip's entry is encrypted")
    if max(entry.size, entry.packed) > MAX_BYTES:
        raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
    if entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise OSError(f"{name}: neither stored nor deflated in the zip")
    data = _packed(file, name, entry)
    if entry.method == zipfile.ZIP_DEFLATED:
        try:
            # One byte more than the zip says is enough to find a lie.
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.size + 1)
        except zlib.error as error:
            raise OSError(f"{name}: the zip's entry is damaged ({error})") from error
    if len(data) != entry.size:
        raise OSError(f"{name}: the zip's entry is not as large as the zip says")
    if zlib.crc32(data) != entry.crc:
        raise OSError(f"{name}: the zip's entry is damaged (wrong checksum)")
    return data


def _packed(file, name, entry):
    if entry.offset <= file.size - _LOCAL.size:
        # One read, because each read takes its time over a network.
        data = file.read_at(entry.offset, _LOCAL.size + _ROOM + entry.packed)
        signature, *lengths = _LOCAL.unpack(data[: _LOCAL.size].ljust(_LOCAL.size, b"\0"))
        start = _LOCAL.size + sum(lengths)
        if signature == b"PK\3\4" and entry.offset + start + entry.packed <= file.size:
            if start > _LOCAL.size + _ROOM:
                return file.read_at(entry.offset + start, entry.packed)
            return data[start : start + entry.packed]
    raise OSError(f"{name}: the zip's entry is damaged (not in its place)")
