"""The ledger of pictures that can't be read: each costs its place only, too many stop a run."""

import sys
import threading

MIN_JUDGED = 1000  # distinct pictures read before their share is judged, or all there are


class BadImages:
    """Names and reasons of bad pictures among `total`; may be used by several threads at once.

    `limit` is the share, 0 to 1, of the distinct pictures read that may be bad.
    """

    def __init__(self, total, limit):
        self._total = total
        self._limit = limit
        self._reasons = {}
        self._seen = set()
        self._lock = threading.Lock()

    @property
    def rows(self):
        """Lists [name, reason], sorted, as a checkpoint keeps them."""
        with self._lock:
            return sorted([name, reason] for name, reason in self._reasons.items())

    def restore(self, rows):
        """Takes up the rows of a checkpoint."""
        self._reasons.update(map(tuple, rows))

    def saw(self, number):
        """Counts a picture as read."""
        self._seen.add(number)

    def note(self, name, reason):
        """Enters a bad picture; the first time it is said on stderr."""
        with self._lock:
            is_new = name not in self._reasons
            self._reasons.setdefault(name, str(reason))
        if is_new:
            print(f"srez: left out: {_one_line(reason)}", file=sys.stderr, flush=True)

    def text(self):
        """A line for each bad picture: its name, a tab, the reason."""
        return "".join(f"{_one_line(name)}\t{_one_line(reason)}\n" for name, reason in self.rows)

    def check(self):
        """Raises OSError if more than the limit are bad, of 1,000 read or of all there are."""
        read, bad = len(self._seen), len(self._reasons)
        if read >= min(MIN_JUDGED, self._total) and bad > self._limit * read:
            name, reason = self.rows[0]
            raise OSError(
                f"{bad} of {read} pictures read can't be used, more than "
                f"--max_bad_images={100 * self._limit:g} percent; the first is {name!r} "
                f"({_one_line(reason)}): mend the dataset or raise --max_bad_images"
            )


def _one_line(text):
    """Text with line ends, control characters and lone surrogates written as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text)
    )
