"""Imports TensorFlow without its talk."""

import os
import sys


def load_tensorflow(verbose=False):
    """Imports TensorFlow, its start-up messages off the console unless the user asked for them.

    Its variable for that, TF_CPP_MIN_LOG_LEVEL, doesn't reach the first messages any more
    (https://github.com/tensorflow/tensorflow/issues/100442), so stderr is closed meanwhile.
    """
    if verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import tensorflow

        return tensorflow
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    console = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow

        return tensorflow
    finally:
        os.dup2(console, 2)
        os.close(console)
