"""Lines to the user, and TensorFlow without its own."""

import importlib
import os
import sys

import tqdm


def say(text):
    """Prints lines to stdout at once, above a progress bar if there is one."""
    tqdm.tqdm.write(str(text), file=sys.stdout)
    sys.stdout.flush()


def complain(text):
    """Prints one line about what went wrong to stderr."""
    tqdm.tqdm.write(f"srez: {' '.join(str(text).split())}", file=sys.stderr)
    sys.stderr.flush()


def load_tensorflow(verbose=False):
    """Imports TensorFlow without its start-up messages, unless the user wants them.

    TensorFlow's variable for that, TF_CPP_MIN_LOG_LEVEL, doesn't silence the first messages any
    more (https://github.com/tensorflow/tensorflow/issues/100442). So stderr is closed meanwhile.
    """
    if verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return  # the user has set it; the import may speak, whenever it comes
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        importlib.import_module("tensorflow")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
