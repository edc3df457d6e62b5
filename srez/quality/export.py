"""Writes a trained generator in formats that other programs load, without any code of srez."""

import contextlib
import importlib.util
import io
import tempfile
import warnings
from pathlib import Path

import keras
import tensorflow as tf

from srez.console import install, say
from srez.files import atomic_path, behind_links
from srez.run.weights import load_generator
from srez_model import UpConv2DTranspose

SUFFIXES = {
    "keras": ".keras",
    "onnx": ".onnx",
    "savedmodel": "_savedmodel",
    "tflite": ".tflite",
}


def export(options):
    """Writes a run's generator, of the `weights` that the options name, and returns where to.

    It maps float32 [B, H, W, 3] in [0, 1], any height and width, to [B, 4H, 4W, 3] in [0, 1]. The
    path is `export_output` with the format's suffix; a SavedModel is a folder.

    Raises:
        OSError: no checkpoint, something else in the way, or no packages for ONNX.
    """
    missing = [name for name in ("onnx", "tf2onnx") if not importlib.util.find_spec(name)]
    if options.export_format == "onnx" and missing:
        raise OSError(f"--export_format=onnx needs more packages: {install('export.txt')}")
    suffix = SUFFIXES[options.export_format]
    path = Path(options.export_output.removesuffix(suffix) + suffix)
    _refuse_replacing(path, options.export_format)
    generator, _ = load_generator(options)
    network = stock_generator(generator)
    try:
        if options.export_format == "savedmodel":
            _write_saved_model(network, path)
        else:
            writers = {"keras": keras.Model.save, "onnx": _write_onnx, "tflite": _write_tflite}
            with atomic_path(path) as temporary:
                writers[options.export_format](network, temporary)
    except (OSError, tf.errors.OpError) as error:
        raise OSError(f"--export_output={path} can't be written: {_reason(error)}") from error
    say(f"Wrote {path}.")
    return path


def stock_generator(generator):
    """The same network of Keras' own layers only: the up-convolutions with folded kernels."""

    def stock(layer):
        if isinstance(layer, keras.Model):
            return stock_generator(layer)
        if not isinstance(layer, UpConv2DTranspose):
            return layer.__class__.from_config(layer.get_config())
        return keras.layers.Conv2DTranspose(
            layer.filters, 4, strides=2, padding="same", name=layer.name
        )

    network = keras.models.clone_model(generator, clone_function=stock)
    for layer, original in zip(network.layers, generator.layers, strict=True):
        if isinstance(original, UpConv2DTranspose):
            layer.set_weights([original.folded_kernel().numpy(), original.bias.numpy()])
        elif not isinstance(original, keras.Model):
            layer.set_weights(original.get_weights())
    return network


def _refuse_replacing(path, export_format):
    """Raises OSError if what is at the path is no earlier export."""
    if export_format == "savedmodel":
        is_other = path.exists() and not (path / "saved_model.pb").exists()
    else:
        is_other = path.is_dir()
    if is_other:
        raise FileExistsError(
            f"--export_output={path} is there, and no export wrote it: give another"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"--export_output={path} needs a folder that is not there: make it first"
        )


def _write_onnx(network, path):
    network(tf.zeros([1, 4, 4, 3]))  # Keras wants a network that was used
    _quietly(network.export, path, format="onnx", verbose=False)


def _write_saved_model(network, path):
    path = behind_links(path)
    with _folder_beside(path) as folder:
        new = folder / "new"
        _quietly(network.export, new, verbose=False)
        if path.exists():
            path.rename(folder / "old")
        new.rename(path)


def _write_tflite(network, path):
    with _folder_beside(path) as folder:
        _quietly(network.export, folder, verbose=False)
        Path(path).write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def _reason(error):
    if isinstance(error, OSError):
        return error.strerror or error
    return error.message.rpartition("; ")[2].partition(" [Op")[0]  # as "PATH; No space left [Op:X]"


@contextlib.contextmanager
def _folder_beside(path):
    """A temporary folder where the result will be: there is room, which /tmp may not have."""
    parent = Path(path).parent
    with tempfile.TemporaryDirectory(prefix=".", dir=parent) as folder:
        yield parent / Path(folder).name  # not absolute, see atomic_path


def _quietly(function, *arguments, **options):
    """What the function returns, what it prints and warns of left out."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        return function(*arguments, **options)
