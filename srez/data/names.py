"""Many names in few bytes."""

import collections.abc
import operator

import numpy as np

_CHUNK = 4096  # names at a time


class Names(collections.abc.Sequence):
    """A sequence of str in few bytes: their UTF-8 (lone surrogates let pass), a line each.

    `text` is a uint8 array, `ends` an array of where each line ends. Equal to any sequence of the
    same strings. UTF-8 sorts as the strings do.
    """

    def __init__(self, text, ends):
        self._text = text
        self._ends = ends

    def __len__(self):
        return len(self._ends)

    def __getitem__(self, number):
        number = range(len(self))[operator.index(number)]
        start = self._ends.item(number - 1) if number else 0
        return _decoded(self._text[start : self._ends.item(number) - 1].tobytes())

    def __iter__(self):
        return map(_decoded, self.encoded())

    def __eq__(self, other):
        if not isinstance(other, collections.abc.Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None

    def encoded(self):
        """Yields the names' UTF-8."""
        for text, ends in self._chunks():
            start = 0
            for end in ends.tolist():
                yield text[start : end - 1]
                start = end

    def take(self, numbers):
        """Yields the names of these numbers, an array."""
        return map(_decoded, self.take_encoded(numbers))

    def take_encoded(self, numbers):
        """Yields the UTF-8 of the names of these numbers, an array."""
        text = memoryview(self._text)
        for first in range(0, len(numbers), _CHUNK):
            chunk = numbers[first : first + _CHUNK]
            starts = np.where(chunk > 0, self._ends[chunk - 1], 0)
            for start, end in zip(starts.tolist(), self._ends[chunk].tolist(), strict=True):
                yield bytes(text[start : end - 1])

    def lines(self):
        """Yields the names in large pieces of bytes, as os.fsencode has them, a line end each."""
        for text, _ in self._chunks():
            yield _decoded(text).encode("utf-8", "surrogateescape")

    def lengths(self):
        """How many bytes the UTF-8 of each name takes, an int64 array [N]."""
        return np.diff(self._ends.astype(np.int64), prepend=0) - 1

    def _chunks(self):
        start = 0
        for first in range(0, len(self), _CHUNK):
            ends = self._ends[first : first + _CHUNK].astype(np.int64)
            yield self._text[start : int(ends[-1])].tobytes(), ends - start
            start = int(ends[-1])


def _decoded(name):
    return name.decode("utf-8", "surrogatepass")
