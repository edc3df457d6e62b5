import errno
from unittest.mock import Mock

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

import srez_main
from srez import quality
from srez.options import Options
from srez.quality.export import SUFFIXES, export, stock_generator
from srez.run.weights import finished, load_generator, upscale
from srez_model import build_generator

LOW_RES = np.random.default_rng(0).uniform(size=(2, 12, 20, 3)).astype(np.float32)


def _keras(path):
    return keras.models.load_model(path)(LOW_RES).numpy()


def _onnx(path):
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: LOW_RES})[0]


def _savedmodel(path):
    loaded = tf.saved_model.load(path)
    return loaded.serve(LOW_RES).numpy()


def _tflite(path):
    interpreter = tf.lite.Interpreter(str(path))
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], LOW_RES.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], LOW_RES)
    interpreter.invoke()
    return interpreter.get_tensor(wanted["index"])


RELOAD = {"keras": _keras, "onnx": _onnx, "savedmodel": _savedmodel, "tflite": _tflite}


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("export_format", sorted(SUFFIXES))
@pytest.mark.parametrize("recipe", ["original", "modern"])
def test_a_reloaded_export_agrees_with_infere(trained_small, small, here, recipe, export_format):
    checkpoints = str(trained_small / recipe / "checkpoint")
    options = Options(checkpoint_dir=checkpoints, weights="raw", export_format=export_format)
    if export_format == "savedmodel":  # an earlier one is replaced
        (here / "generator_savedmodel").mkdir()
        (here / "generator_savedmodel" / "saved_model.pb").touch()
    path = export(options)
    generator, _ = load_generator(options)
    expected = upscale(generator, LOW_RES)
    assert path.name == f"generator{SUFFIXES[export_format]}"
    found = RELOAD[export_format](path)
    assert found.shape == (2, 48, 80, 3)
    assert np.abs(found - expected).max() < 1e-5
    assert {file.name for file in here.iterdir()} == {path.name}


def test_only_keras_own_layers_are_left(small):
    network = stock_generator(finished(build_generator(), "original", "on"))
    inner = network.get_layer("generator").layers
    modules = {layer.__class__.__module__.split(".")[0] for layer in [*network.layers, *inner]}
    assert modules == {"keras"}


def test_the_command_line_exports_and_says_which_weights(trained, here, capfd):
    folder = trained[0] / "checkpoint"
    arguments = ["--run", "export", f"--checkpoint_dir={folder}", "--export_output=x.keras"]
    assert srez_main.main(["srez_main.py", *arguments]) == 0
    out, err = capfd.readouterr()
    assert "the best on the validation pictures" in out
    assert out.endswith("Wrote x.keras.\n") and err == ""
    assert (here / "x.keras").stat().st_size > 10**6


def test_no_saved_model_takes_the_place_of_something_else(here):
    (here / "generator_savedmodel").mkdir()
    (here / "generator_savedmodel" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="--export_output=generator_savedmodel is there, and"):
        export(Options(export_format="savedmodel"))
    assert (here / "generator_savedmodel" / "notes.txt").read_text() == "mine"


FULL = tf.errors.ResourceExhaustedError(None, None, "{{x}} a/b; No space left on device [Op:X]")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (FULL, "No space left on device"),
    ],
)
@pytest.mark.parametrize("export_format", sorted(SUFFIXES))
def test_a_place_that_cant_be_written_is_named(
    here, small, monkeypatch, export_format, error, reason
):
    # Stubs at the file layer; neither /tmp nor another place is written to.
    monkeypatch.setattr("tempfile.gettempdir", None)
    monkeypatch.setattr(quality.export, "load_generator", lambda _: (build_generator(), None))
    monkeypatch.setattr(quality.export, "_quietly", Mock(side_effect=error))
    monkeypatch.setattr(keras.Model, "save", Mock(side_effect=error))
    with pytest.raises(OSError, match=f"^--export_output=x.* can't be written: {reason}$"):
        export(Options(export_format=export_format, export_output="x"))
    assert list(here.iterdir()) == []


def test_onnx_without_its_packages_says_how_to_get_them(here, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OSError, match="pip install -r .*requirements/export.txt"):
        export(Options(export_format="onnx"))


def test_a_place_in_no_folder_is_refused_before_anything_is_loaded(here):
    with pytest.raises(FileNotFoundError, match="--export_output=nowhere/x.keras needs a folder"):
        export(Options(export_output="nowhere/x"))
