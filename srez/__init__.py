"""What holds for all of srez, before any library is imported."""

import os

__version__ = "2.0.dev0"  # 1 was the program of 2016


def settle(prefix, **values):
    """Sets a library's variables of the environment, and removes all others with that prefix.

    What other programs have set for themselves doesn't reach srez.
    """
    for name in [name for name in os.environ if name.startswith(prefix)]:
        del os.environ[name]
    os.environ |= {prefix + name: value for name, value in values.items()}


# Keras finds no keras.json there, and writes none: so floats are float32 and channels come last.
settle("KERAS_", BACKEND="tensorflow", HOME=os.devnull)
settle("TF_USE_LEGACY_KERAS")
