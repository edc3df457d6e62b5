"""Pictures read, checked and decoded in TensorFlow's own operations: the graph holds no Python.

What is decoded here has the pixels that srez_crop gives; what else there is, odd or bad, is left.
"""

import tensorflow as tf

from srez_crop import PLAIN_BYTES, decode
from srez_image import BOX_SIDE, CELEBA_HEIGHT, CELEBA_WIDTH
from srez_zip import DEFLATED, STORED

ENTRY_BYTES = 0xFFFF  # of a picture in a zip at most: what a stored block of deflate holds

# A gzip file is a deflated zip entry between a header and its checksum and size (RFC 1952), and
# zlib compares these. Behind it a second one of the byte "!": only behind a whole one it is read.
_GZIP_START = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_SEAL = _GZIP_START + b"\1\1\0\xfe\xff!\xd3\xffk\x9e\1\0\0\0"
_LOCAL_BYTES = 30  # of a zip entry's local header, without name and extra field
_ROOM = 256  # bytes that these rarely fill
_HEADER_BYTES = 2048  # of a JPEG in which its size stands; usually it does in 200
_GO_ON, _PLAIN, _ODD = range(3)


def box_reader(places):
    """A function for a graph: numbers [B], offsets [B, 2] to good [B], boxes [B, 128, 128, 3].

    `places` are srez_places.Places of the pictures. A box, uint8, is good, and the one that
    srez_crop.box_alone gives, if it is of a plain CelebA JPEG, and black otherwise.
    """
    read = _reader(places)

    def decoded(numbers, offsets):
        data = read(numbers)
        return decode(_unless(~is_plain(data), data), offsets)

    def attempt(numbers, offsets):
        count = numbers.shape[0]
        black = tf.zeros([count, BOX_SIDE, BOX_SIDE, 3], tf.uint8)
        is_made, boxes = _attempt(decoded, (numbers, offsets), black)
        return tf.fill([count], is_made), boxes

    def attempt_one(pair):
        good, boxes = attempt(*(tf.expand_dims(one, 0) for one in pair))
        return good[0], boxes[0]

    def boxes_of(numbers, offsets):
        good, boxes = attempt(numbers, offsets)
        # All at once, for an attempt takes as long as two pictures.
        return tf.cond(
            tf.reduce_all(good),
            lambda: (good, boxes),
            lambda: tf.map_fn(
                attempt_one, (numbers, offsets), fn_output_signature=(tf.bool, tf.uint8)
            ),
        )

    return boxes_of


def is_plain(data):
    """Whether srez_crop's `decode` gets the files' bytes [B] right: bools [B].

    True only where srez_crop itself says so; False also of rare ones which that takes for plain.
    """
    sizes = tf.strings.length(data)
    is_whole = tf.strings.substr(data, 0, 2) == b"\xff\xd8"
    end = tf.minimum(sizes, 2)
    is_whole &= tf.strings.substr(data, -end, end) == b"\xff\xd9"
    octets = tf.io.decode_raw(data, tf.uint8, fixed_length=_HEADER_BYTES)
    octets = tf.cast(octets, tf.int32)
    last = tf.maximum(tf.minimum(sizes, _HEADER_BYTES) - 10, 0)

    def goes_on(at, found):
        return tf.reduce_any((found == _GO_ON) & (at <= last))

    def judge(at, found):
        part = tf.gather(octets, tf.minimum(at, last)[:, None] + tf.range(10), batch_dims=1)
        start, marker, length_high, length_low, bits, *size, channels = tf.unstack(part, axis=1)
        is_odd = (start != 0xFF) | (marker == 0xE1) | (marker == 0xEE)
        fits = (bits == 8) & (channels == 3)
        for byte, wanted in zip(size, (0, CELEBA_HEIGHT, 0, CELEBA_WIDTH), strict=True):
            fits &= byte == wanted
        is_frame = (marker >= 0xC0) & (marker <= 0xC2)
        verdict = tf.where(is_frame, tf.where(fits, _PLAIN, _ODD), _GO_ON)
        verdict = tf.where(is_odd, _ODD, verdict)
        verdict = tf.where((found == _GO_ON) & (at <= last), verdict, found)
        return at + 2 + length_high * 256 + length_low, verdict

    is_candidate = is_whole & (sizes >= 12) & (sizes <= PLAIN_BYTES)
    found = tf.where(is_candidate, _GO_ON, _ODD)
    return tf.while_loop(goes_on, judge, (tf.fill(tf.shape(sizes), 2), found))[1] == _PLAIN


def _attempt(function, arguments, otherwise):
    """(True, `function` of the tensors [B, ...]), or if it fails (False, `otherwise`).

    `otherwise` is a tensor like the function's.
    """

    def attempt(*arguments):
        return True, tf.ensure_shape(function(*arguments), otherwise.shape)

    # Sliced and batched their number isn't known to the graph, which so doesn't grow with it.
    batches = tf.data.Dataset.from_tensor_slices(arguments).batch(otherwise.shape[0])
    attempts = batches.map(attempt).ignore_errors()
    fallback = tf.data.Dataset.from_tensors((False, otherwise))
    return attempts.concatenate(fallback).take(1).get_single_element()


def _unless(wrong, tensor):
    """The tensor, or an error if anything is wrong."""
    with tf.control_dependencies([tf.debugging.assert_equal(wrong, False)]):
        return tf.identity(tensor)


def _reader(places):
    """A function from numbers [B] to the pictures' bytes [B], or an error."""
    has_zips, has_folders = (places.zip_sizes >= 0).any(), (places.zip_sizes < 0).any()
    # Made out here they are inputs of the graph.
    paths, zip_sizes = tf.constant(places.paths), tf.constant(places.zip_sizes, tf.int64)
    part_of, all_entries = tf.constant(places.part), tf.constant(places.entries)
    all_names = tf.constant(places.names) if has_folders else None

    def read_one(number):
        part, entry = part_of[number], all_entries[number]

        def zipped():
            return _read_entry(paths[part], zip_sizes[part], entry)

        def in_folder():
            return _read_file(tf.strings.join([paths[part], all_names[number]], "/"), entry)

        if has_zips and has_folders:
            return tf.cond(zip_sizes[part] >= 0, zipped, in_folder)
        return zipped() if has_zips else in_folder()

    def read(numbers):
        records = tf.map_fn(read_one, numbers, fn_output_signature=tf.string)
        if not has_zips:
            return records
        is_zipped = tf.gather(zip_sizes, tf.gather(part_of, numbers)) >= 0
        return _unpacked(records, tf.gather(all_entries, numbers), is_zipped)

    return read


def _read_file(path, entry):
    """A file's bytes. An empty one may be a pipe, which would never end."""
    size = entry[4]
    return tf.io.read_file(_unless((size <= 0) | (size > PLAIN_BYTES), path))


def _read_entry(path, zip_size, entry):
    """A zip's entry as it stands there, its local header in front, and a little more."""
    offset, kind, _, packed, size = tf.unstack(entry)
    count = tf.minimum(_LOCAL_BYTES + _ROOM + packed, zip_size - offset)
    wrong = ((kind != STORED) & (kind != DEFLATED)) | (count < _LOCAL_BYTES)
    wrong |= tf.maximum(size, packed) > ENTRY_BYTES
    records = tf.data.FixedLengthRecordDataset(
        path,
        record_bytes=_unless(wrong, count),
        header_bytes=offset,
        footer_bytes=zip_size - offset - count,
        buffer_size=count,
    )
    return records.get_single_element()


def _unpacked(records, entries, is_zipped):
    """The files [B] in zip entries [B], their checksums verified; others as they are."""
    _, kinds, checksums, packed, sizes = tf.unstack(tf.cast(entries, tf.int64), axis=1)
    lengths = tf.io.decode_raw(tf.strings.substr(records, 26, 4), tf.uint16, fixed_length=4)
    starts = _LOCAL_BYTES + tf.reduce_sum(tf.cast(lengths, tf.int32), axis=1)
    starts = tf.minimum(starts, tf.strings.length(records))
    data = tf.strings.substr(records, starts, tf.cast(packed, tf.int32))
    is_entry = tf.strings.substr(records, 0, 4) == b"PK\3\4"
    is_entry &= tf.cast(tf.strings.length(data), tf.int64) == packed
    head = [b"\1", _little_endian(sizes, 2), _little_endian(0xFFFF - sizes, 2)]
    head = tf.where(kinds == STORED, tf.strings.join(head), b"")
    trailer = [_little_endian(checksums, 4), _little_endian(sizes, 4)]
    sealed = tf.strings.join([_GZIP_START, head, data, *trailer, _SEAL])
    files = tf.io.decode_compressed(tf.where(is_zipped & is_entry, sealed, _SEAL), "GZIP")
    is_whole = is_entry & (tf.cast(tf.strings.length(files), tf.int64) == sizes + 1)
    is_whole &= tf.strings.substr(files, -1, 1) == b"!"
    lengths = tf.strings.length(files) - 1
    files = tf.strings.substr(files, tf.zeros_like(lengths), lengths)
    return _unless(is_zipped & ~is_whole, tf.where(is_zipped, files, records))


def _little_endian(numbers, count):
    """Whole numbers [B] as strings [B] of `count` bytes."""
    octets = tf.constant([bytes([value]) for value in range(256)])
    digits = [tf.gather(octets, numbers // 256**place % 256) for place in range(count)]
    return tf.strings.join(digits)
