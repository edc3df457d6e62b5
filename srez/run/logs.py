"""What a run logs in train_dir: TensorBoard's events and tables of numbers."""

import contextlib
import csv
from pathlib import Path

import tensorflow as tf

from srez.console import say
from srez.files import atomic_path, make_folder
from srez.run.results import BASELINE, EVENTS, LOSSES, METRICS, is_own


class Logs:
    """The logs of a run that goes on from `batch`: rows and events of later batches are removed.

    If something can't be written, on a full disk for example, it says so once and leaves that out.
    Raises OSError if the folder `train_dir` can't be made.
    """

    def __init__(self, train_dir, batch):
        self._train_dir = Path(train_dir)
        self._failed = set()
        make_folder(train_dir)
        for name in (LOSSES, METRICS):
            with self.tolerating(self._train_dir / name):
                _rewind_csv(self._train_dir / name, batch)
        self._writer = self._baseline = tf.summary.create_noop_writer()
        with self.tolerating("TensorBoard's events"):
            for folder in (self._train_dir, self._train_dir / BASELINE):
                for path in filter(is_own, folder.glob(EVENTS)):
                    _rewind_events(path, batch)
            self._writer = tf.summary.create_file_writer(str(train_dir))
            # TensorBoard draws one name of two runs into one chart; a folder is a run.
            self._baseline = tf.summary.create_file_writer(str(self._train_dir / BASELINE))

    @contextlib.contextmanager
    def tolerating(self, what):
        """After an error in writing `what` the training goes on; the first one is said."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            if what not in self._failed:
                reason = " ".join(str(error).split())
                say(f"Can't write {what}: {reason}. Training goes on.")
            self._failed.add(what)

    def scalars(self, batch, values, table=LOSSES):
        """Logs floats by TensorBoard name, to TensorBoard and as a row of a CSV file."""
        path = self._train_dir / table
        with self.tolerating(path), open(path, "a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            if file.tell() == 0:
                rows.writerow(["batch", *values])
            rows.writerow([batch, *(f"{value:.6g}" for value in values.values())])
        with self.tolerating("TensorBoard's events"):
            for name, value in values.items():
                is_baseline = name.startswith(f"{BASELINE}/")
                writer = self._baseline if is_baseline else self._writer
                with writer.as_default(step=batch):
                    tf.summary.scalar(name.replace(BASELINE, "validation"), value)

    def sheet(self, batch, sheet):
        """Shows a sheet, uint8 [H, W, 3], in TensorBoard."""
        with self.tolerating("TensorBoard's events"), self._writer.as_default(step=batch):
            tf.summary.image("sheet", sheet[None])
            self._writer.flush()

    def flush(self):
        """Brings all events to their file."""
        with self.tolerating("TensorBoard's events"):
            self._writer.flush()
            self._baseline.flush()


class NoLogs:
    """The logs of a process that keeps none: see `Logs`."""

    def tolerating(self, _):
        """A context in which an OSError passes: the chief's logs name what went wrong."""
        return contextlib.suppress(OSError)

    def scalars(self, *_):
        """Keeps nothing."""

    def flush(self):
        """Has nothing to write."""


def _rewind_csv(path, batch):
    # It keeps the header and the whole rows up to `batch`.
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    kept = whole[:1] + [line for line in whole[1:] if int(line.split(",")[0]) <= batch]
    if kept != lines:
        with atomic_path(path) as temporary:
            Path(temporary).write_text("".join(kept), encoding="utf-8")


def _rewind_events(path, batch):
    # It keeps the events up to `batch`; if a kill cut the file off, those that can be read.
    kept, is_cut = [], False
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if event.HasField("summary") and event.step > batch:
                is_cut = True
            else:
                kept.append(record)
    except tf.errors.DataLossError:
        is_cut = True
    if is_cut:
        with atomic_path(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
            for record in kept:
                writer.write(record)
