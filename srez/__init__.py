"""Faces in small pictures made four times as large: the functions for other programs.

    import srez

    faces = srez.enlarge("me.jpg")
    faces.photo.save("me_large.png")

Importing srez loads no TensorFlow; calling a function does. docs/API.md tells more.
"""

import functools
import os

__version__ = "2.1.0"  # 1 was the program of 2016


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


def enlarge(picture, **options):
    """The faces of a picture, enlarged: a sequence of faces, and `photo` with them put back.

    `picture` is a file's path, Pillow's image, or an array uint8 [H, W, 3]. `options` are those of
    the command line, by the same names. The networks stay loaded for the next call with the same
    options. Returns a srez.photo.model.Enlarged, and raises what `load` and its `enlarge` do.
    """
    return _loaded(**options).enlarge(picture)


def load(**options):
    """A srez.photo.model.Model, which stays loaded: model(images), model.enlarge(picture).

    `options` are those of --run infere, by the same names: weights, checkpoint_dir, fidelity,
    consistent, faces, face, face_box, face_min, face_max, face_size, photo_scale.

    Raises:
        OSError: no such weights, or Keras is set to compute in another way.
        TypeError, ValueError: no such option, or no such value of it.
    """
    from srez.console import load_tensorflow
    from srez.options import Options

    chosen = Options(**options)
    load_tensorflow()
    from srez.photo.model import Model

    return Model(chosen)


_loaded = functools.lru_cache(maxsize=2)(load)


def train(**options):
    """Trains a network, as --run train does with options of the same names, until it is done.

    It says how it goes on the console. Ctrl-C saves and raises KeyboardInterrupt; called again with
    the same options, it goes on.

    Raises:
        OSError: the data or a checkpoint can't be used.
        TypeError, ValueError: no such option, or no such value of it.
    """
    import srez_main
    from srez.options import Options

    try:
        status = srez_main.train(Options(**options))
    except SystemExit as stopped:
        raise KeyboardInterrupt from stopped
    if status:
        raise OSError(f"a worker ended with status {status}")
