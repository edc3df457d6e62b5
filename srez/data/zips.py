"""Files in a zip, read in place: nothing is extracted, nothing that the zip says is trusted.

The directory is read here and not by Python's zipfile, which takes some 500 bytes of memory for
each file. Its format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import stat
import struct
import typing
import zlib

from srez.files import MAX_BYTES, printable

OFFSET_BITS = 40  # of a place: a zip of up to 1 TiB
STORED, DEFLATED, ENCRYPTED, OTHER = range(4)  # how an entry is packed

_OFFSET_MASK = (1 << OFFSET_BITS) - 1
_ROOM = 256  # bytes in front of an entry's data that its name and extra fields rarely fill
_CHUNK = 1 << 22  # bytes of the directory read at a time
_LARGEST = 0xFFFFFFFF  # of a 32-bit field: also says that a 64-bit one holds the number

_LOCAL = struct.Struct("<4s22xHH")
# Signature, flags, method, checksum, packed size, size, lengths of name, extra and comment,
# attributes, offset.
_ENTRY = struct.Struct("<4s4xHH4xLLLHHH4xLL")
_END = struct.Struct("<4s8xLLH")  # signature, size of the directory, its offset, a comment's length
_END64 = struct.Struct("<4s36xQQ")
_LOCATOR = struct.Struct("<4s4xQ4x")


class ZipEntry(typing.NamedTuple):
    """What the directory says of a file: enough to read it.

    `name` is UTF-8 (lone surrogates let pass), `place` the offset of the entry in the zip, above
    its OFFSET_BITS bits how it is packed; sizes above 4 GiB - 1 are given as that.
    """

    name: bytes
    place: int
    crc: int
    size: int
    packed: int


def list_zip(file, path):
    """Yields the ZipEntries of an open data.local.File, in the directory's order.

    Symbolic links are left out. A name that comes twice is yielded twice. Names are labels and no
    paths: an absolute one harms nobody.

    Raises:
        OSError: no whole zip; one line that names `path`.
    """
    try:
        start, end, shift = _directory(file)
        for record in _records(file, start, end):
            entry = _entry(record, shift)
            if entry is not None:
                yield entry
    except (ValueError, struct.error) as error:
        raise OSError(_refusal(file, path, error)) from error


def read_zipped(file, name, entry):
    """The bytes of a file called `name`, stored or deflated, its checksum verified.

    `entry` has a ZipEntry's place, crc, size and packed.

    Raises:
        OSError: it is damaged, encrypted, larger than MAX_BYTES or not as large as the zip says;
            one line that names it.
    """
    name = printable(name)
    size, packed, kind = int(entry.size), int(entry.packed), int(entry.place) >> OFFSET_BITS
    if kind == ENCRYPTED:
        raise OSError(f"{name}: the zip's entry is encrypted")
    if max(size, packed) > MAX_BYTES:
        raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
    if kind == OTHER:
        raise OSError(f"{name}: neither stored nor deflated in the zip")
    data = _packed(file, name, int(entry.place) & _OFFSET_MASK, packed)
    if kind == DEFLATED:
        try:
            # A byte more than announced is enough to catch a liar.
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error as error:
            raise OSError(f"{name}: the zip's entry is damaged ({error})") from error
    if len(data) != size:
        raise OSError(f"{name}: the zip's entry is not as large as the zip says")
    if zlib.crc32(data) != entry.crc:
        raise OSError(f"{name}: the zip's entry is damaged (wrong checksum)")
    return data


def _packed(file, name, offset, packed):
    if offset + _LOCAL.size <= file.size:
        # One read, since behind a network each one takes its time.
        data = file.read_at(offset, _LOCAL.size + _ROOM + packed)
        signature, *lengths = _LOCAL.unpack(data[: _LOCAL.size].ljust(_LOCAL.size, b"\0"))
        start = _LOCAL.size + sum(lengths)
        if signature == b"PK\3\4" and offset + start + packed <= file.size:
            if start > _LOCAL.size + _ROOM:
                return file.read_at(offset + start, packed)
            return data[start : start + packed]
    raise OSError(f"{name}: the zip's entry is damaged (not in its place)")


def _directory(file):
    """Where the directory begins and ends, and what to add to its offsets.

    What stands in front of a zip, as in a program that unpacks itself, shifts them.
    """
    begin = max(file.size - _END.size - 0xFFFF, 0)  # a comment may follow the end's record
    tail = file.read_at(begin, file.size - begin)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + _END.size:
        raise ValueError("it has no directory at its end")
    _, size, offset, _ = _END.unpack_from(tail, at)
    end = begin + at
    place = _end64_place(file, end)
    if place is not None:
        end = place
        _, size, offset = _END64.unpack(file.read_at(place, _END64.size))
    if size > end:
        raise ValueError("its directory is larger than the file")
    return end - size, end, end - size - offset


def _end64_place(file, end):
    """Where the 64-bit record of a zip is whose end's record is at `end`, or None."""
    at = end - _LOCATOR.size
    if at < 0:
        return None
    signature, offset = _LOCATOR.unpack(file.read_at(at, _LOCATOR.size))
    if signature != b"PK\6\7":
        return None
    # Directly in front, unless the record was extended; there something may shift the offset.
    for place in (at - _END64.size, offset):
        if 0 <= place <= at - _END64.size and file.read_at(place, 4) == b"PK\6\6":
            return place
    return None


def _records(file, start, end):
    """Yields the directory's records: fields, then the bytes of name and extra fields."""
    data = b""
    while start < end or data:
        more = file.read_at(start, min(_CHUNK, end - start))
        start += len(more)
        data, at = data + more, 0
        while len(data) - at >= _ENTRY.size:
            fields = _ENTRY.unpack_from(data, at)
            if fields[0] != b"PK\1\2":
                raise ValueError("its directory is damaged")
            name_end = at + _ENTRY.size + fields[6]
            extra_end = name_end + fields[7]
            if extra_end + fields[8] > len(data):
                break
            yield fields, data[at + _ENTRY.size : name_end], data[name_end:extra_end]
            at = extra_end + fields[8]
        data = data[at:]
        if data and not more:
            raise ValueError("its directory is cut off")


def _entry(record, shift):
    (_, flags, method, crc, packed, size, _, _, _, attributes, offset), name, extra = record
    if stat.S_ISLNK(attributes >> 16):
        return None
    if _LARGEST in (size, packed, offset):
        size, packed, offset = _wide(extra, size, packed, offset)
    kind = {0: STORED, 8: DEFLATED}.get(method, OTHER)
    if flags & 1:
        kind = ENCRYPTED
    offset += shift
    if not 0 <= offset < _OFFSET_MASK:
        offset = _OFFSET_MASK  # behind the end of any zip, so found to be damaged when it is read
    name = name.partition(b"\0")[0]  # as zipfile and C programs take it
    if not name.isascii():
        name = name.decode("utf-8" if flags & 0x800 else "cp437").encode()
    size, packed = min(size, _LARGEST), min(packed, _LARGEST)
    return ZipEntry(name, kind << OFFSET_BITS | offset, crc, size, packed)


def _wide(extra, *values):
    """The values, those that are the largest of 32 bits replaced by the extra field's 64 bits."""
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if tag == 1:
            numbers = (number for (number,) in struct.iter_unpack("<Q", field[: length // 8 * 8]))
            return [next(numbers, value) if value == _LARGEST else value for value in values]
    return values


def _refusal(file, path, error):
    if b"<html" in file.read_at(0, 1024).lower():
        return f"--dataset={path} is an HTML page, not a zip: download it again"
    reason = printable(str(error))
    return f"--dataset={path} is no whole zip archive ({reason}): is the download complete?"
