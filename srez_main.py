"""Face super-resolution from 16x16 to 64x64: python3 srez_main.py --run train|demo|infere."""

import dataclasses
import sys
from pathlib import Path

from absl import flags

from srez import console, options

FLAGS = flags.FLAGS


def train_config():
    """The TrainConfig of the flags as parsed."""
    import srez_train

    fields = dataclasses.fields(srez_train.TrainConfig)
    values = {field.name: getattr(FLAGS, field.name) for field in fields}
    if FLAGS.train_batches and not FLAGS["train_time"].present:
        values["train_time"] = None
    values["dataset"] = _dataset()
    return srez_train.TrainConfig(**values)


def _dataset():
    """What --dataset says; None for the drawn faces: not given, and its default isn't there."""
    is_there = FLAGS["dataset"].present or Path(FLAGS.dataset).exists()
    return FLAGS.dataset if is_there else None


def _train():
    _load_tensorflow()
    import srez_train

    srez_train.train(train_config())


def _demo():
    import srez_demo

    srez_demo.make_video(FLAGS.train_dir)


def _infer():
    _load_tensorflow()
    import srez_infer

    output = FLAGS.infer_output if FLAGS["infer_output"].present else None
    srez_infer.infer(
        FLAGS.infer_input,
        output,
        FLAGS.checkpoint_dir,
        FLAGS.weights,
        FLAGS.infer_batch,
        faces=FLAGS.faces,
        full_tile=FLAGS.tile if FLAGS.upscale_full else None,
    )


def _evaluate():
    _load_tensorflow()
    from srez.quality import evaluate

    dataset = FLAGS.dataset if FLAGS["dataset"].present else ""
    evaluate.evaluate(
        dataset, FLAGS.checkpoint_dir, FLAGS.weights, FLAGS.train_dir, FLAGS.evaluation_dir
    )


def _export():
    _load_tensorflow()
    from srez.quality import export

    export.export(FLAGS.checkpoint_dir, FLAGS.weights, FLAGS.export_format, FLAGS.export_output)


def _pack():
    if "://" in FLAGS.dataset:
        _load_tensorflow()
    from srez.data import pack

    pack.pack(_dataset(), FLAGS.pack_output, FLAGS.shard_mb)


MODES = {
    "demo": _demo,
    "evaluate": _evaluate,
    "export": _export,
    "infer": _infer,
    "infere": _infer,
    "pack": _pack,
    "train": _train,
}


def main(argv):
    """Runs what the command line says; returns the exit status: 0, 1, 2, 3 or 130.

    2 is a bad command line, 1 a file or folder that can't be used, 3 the results of another run
    that are in the way of this one, 130 Ctrl-C. A training that a signal ended raises SystemExit
    with 130 or 143.
    """
    try:
        words = FLAGS(argv)[1:]
    except flags.Error as error:
        return _complain(options.explain(str(error)), 2)
    if FLAGS.help:
        print(f"{__doc__}\n{FLAGS.module_help(options)}")
        return 0
    if words:
        return _complain(_stray(words[0]), 2)
    try:
        MODES[FLAGS.run]()
    except FileExistsError as error:
        return _complain(error, 3)
    except OSError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _stray(word):
    if word in MODES:
        return f"stray word {word!r}: did you mean --run {word}?"
    return f"stray word {word!r}: options begin with --, switches are --name or --noname"


def _complain(error, status):
    print("srez:", " ".join(str(error).split()), file=sys.stderr)
    return status


def _load_tensorflow():
    console.load_tensorflow(verbose=FLAGS.log_device_placement)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
