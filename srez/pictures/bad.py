"""Which pictures are bad and why, and whether they are too many to go on."""

import contextlib
import threading
from pathlib import Path

from srez.console import complain
from srez.files import printable, write_text

JUDGED_AFTER = 1000  # distinct pictures read; before that, a few bad ones say little


class NoPictures(OSError):
    """No picture can be read any more, good or bad: their folder is gone, for example."""


class BadImages:
    """A list of the bad pictures among `total`; at most the share `limit` of them may be bad.

    Any number of threads may use it at once.
    """

    def __init__(self, total, limit):
        self.total = total
        self.limit = limit
        self._reasons = {}  # by name
        self._bad_numbers = set()
        self._found = set()  # names noted since the start, not restored: what `check` counts
        self._seen = bytearray()  # a byte per picture's number: 1 if it was read
        self._lock = threading.Lock()

    def note(self, name, reason, number=None):
        """Enters a bad picture, and says so in one line on stderr the first time."""
        with self._lock:
            if number is not None:
                self._bad_numbers.add(int(number))
            self._found.add(name)
            if name in self._reasons:
                return
            self._reasons[name] = reason
        complain(f"left out, {printable(name)}: {printable(reason)}")

    @contextlib.contextmanager
    def noting(self, number, name):
        """Counts a picture as read, and as bad if the block raises an OSError, which ends here.

        But NoPictures is raised again: it says nothing about this picture.
        """
        self.saw(number)
        try:
            yield
        except NoPictures:
            raise
        except OSError as error:
            reason = error.strerror or str(error).removeprefix(f"{printable(name)}: ")
            self.note(name, reason, number)

    def is_bad(self, number):
        """Returns whether a picture was found to be bad since the start."""
        return int(number) in self._bad_numbers

    def saw(self, number):
        """Counts a picture as read, good or bad; once, even if it is read often."""
        with self._lock:
            self._seen.extend(bytes(max(int(number) + 1 - len(self._seen), 0)))
            self._seen[number] = 1

    @property
    def rows(self):
        """The bad pictures: a list of (name, reason), sorted by name."""
        with self._lock:
            return sorted(self._reasons.items())

    def restore(self, rows):
        """Enters what an earlier run found. `check` doesn't count it: this run hasn't read it."""
        with self._lock:
            self._reasons = dict(rows) | self._reasons

    def text(self):
        """Gives a line per bad picture: its name, a tab, the reason.

        Escapes are those of Python's strings, so a backslash in a name is doubled.
        """
        return "".join(f"{printable(name)}\t{printable(reason)}\n" for name, reason in self.rows)

    def write(self, path):
        """Writes the text to a file that lacks it. Raises OSError if it can't be written."""
        text, path = self.text(), Path(path)
        written = path.read_bytes() if path.exists() else b""
        if text.encode("utf-8", "surrogateescape") != written:
            write_text(path, text)

    def check(self):
        """Raises OSError if more than the share `limit` of the pictures read are bad.

        It judges only after 1,000 distinct pictures, or all of them, were read.
        """
        with self._lock:
            seen, bad = self._seen.count(1), sorted(self._found)
        if seen < min(JUDGED_AFTER, self.total) or len(bad) <= self.limit * seen:
            return
        raise OSError(
            f"{len(bad)} of the {seen} pictures read are bad, more than --max_bad_images="
            f"{100 * self.limit:g} percent, the first of them "
            f"{printable(bad[0])} ({printable(self._reasons[bad[0]])}): "
            "get the dataset anew, mend or remove what bad_images.txt names, or allow more"
        )
