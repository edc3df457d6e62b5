"""The command line: python3 srez_main.py --run train | demo | infere ..."""

import dataclasses
import gc
import importlib.util
import os
import signal
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
if sys.flags.safe_path:  # python3 -I, -P and PYTHONSAFEPATH leave it out
    sys.path.insert(0, HERE)
SHORT = (
    "there is not enough memory: give smaller batches, or pictures, do without --cache memory, "
    "or see what else takes it (ulimit -v)"
)


def missing(error):
    """What a ModuleNotFoundError means, and what to do."""
    name = error.name or str(error)
    package = name.partition(".")[0]
    if package.startswith("srez"):
        return f"{HERE} is no whole copy of srez: its module {name} is missing there"
    if package in sys.stdlib_module_names:
        return f"Python's own module {name} is missing: {sys.prefix} needs a whole Python"
    needed = os.path.join(HERE, "requirements.txt")
    what = f"source .venv/bin/activate, or pip install -r {needed}"
    if not os.path.isfile(needed):  # it was installed, without what it needs
        what = "pip install srez"
    return f"the package {name} is missing in the environment {sys.prefix}: {what}"


try:
    from srez.console import (
        complain,
        guard_console,
        install,
        load_tensorflow,
        program,
        uncollected,
    )
    from srez.flags import help_text, parse, usage, versions
except ModuleNotFoundError as error:
    sys.exit(f"srez: {missing(error)}")


def train(options):
    """Train a network."""
    if options.workers > 1:
        from srez.parallel.launch import launch

        worker = dataclasses.replace(options, workers=1).arguments()
        return launch([sys.executable, *program(), *worker], options.workers)
    load_tensorflow(options.log_device_placement)
    import srez_train

    srez_train.train(options)


def demo(options):
    """Make the video of its training."""
    try:
        import srez_demo
    except RuntimeError as error:  # moviepy looks for it when it is imported
        raise OSError("ffmpeg, which writes the video, is not here: install it") from error

    srez_demo.make_video(options.train_dir)


def infer(options):
    """Enlarge a picture, or a folder of them."""
    load_tensorflow()
    import srez_infer

    srez_infer.infer(options)


def evaluate(options):
    """Measure how good the network is, and write a report."""
    load_tensorflow()
    from srez.quality.evaluate import evaluate

    evaluate(options)


def export(options):
    """Write the network for other programs."""
    load_tensorflow()
    from srez.quality.export import export

    export(options)


def pack(options):
    """Pack a dataset into a few zips."""
    if "://" in (options.dataset or ""):
        load_tensorflow()
    from srez.data.pack import pack

    pack(options.training_dataset, options.pack_output, options.shard_mb)


def serve(options):
    """Serve a page for photos, painting and trainings."""
    if not importlib.util.find_spec("gradio"):
        raise OSError(f"--run serve needs Gradio: {install('page.txt')}")
    if not importlib.util.find_spec("tensorflow"):  # it comes later, in a thread
        raise ModuleNotFoundError(name="tensorflow")
    with uncollected():
        from srez.page.serve import serve
    gc.freeze()

    serve(options)


MODES = {
    "train": train,
    "demo": demo,
    "infere": infer,
    "infer": infer,
    "evaluate": evaluate,
    "export": export,
    "pack": pack,
    "serve": serve,
}


def main(argv):
    """Runs what the command line says; returns the exit status: 0, 1, 2, 3 or 130.

    2 is a bad command line, 1 a file or folder that can't be used, 3 the results of another run
    that are in the way of this one, 130 Ctrl-C. A training that a signal ended raises SystemExit
    with 129, 130 or 143. That of several workers is the first status that isn't 0.
    """
    if len(argv) == 1:
        print(usage())
        return 0
    try:
        options = parse(argv, MODES)
    except ValueError as error:
        complain(error)
        return 2
    if options.help:
        # Under python3 -OO there are no docstrings.
        print(help_text({name: mode.__doc__ or mode.__name__ for name, mode in MODES.items()}))
        return 0
    try:
        if options.version:
            print(versions())
            return 0
        return MODES[options.run](options) or 0
    except ModuleNotFoundError as error:
        complain(missing(error))
        return 1
    except OSError as error:
        complain(error)
        return 3 if isinstance(error, FileExistsError) else 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not isinstance(error, MemoryError) and "OOM when allocating" not in str(error):
            raise
        complain(SHORT)
        return 1


def interrupt(*_):
    """Handles a first Ctrl-C: it raises KeyboardInterrupt, and a second one ends the process.

    Within a pool of threads a second exception could leave a lock held for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def start():
    """Runs this process's command line, on a console that never stops it; returns the status."""
    guard_console()
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # a shell's & ignores it
        signal.signal(signal.SIGINT, interrupt)
    try:
        return main(sys.argv)
    finally:
        # Python would look for garbage at the end, among all that TensorFlow has made: a second.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(start())
