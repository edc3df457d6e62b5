import os

import numpy as np
import pytest

import srez.run.weights
from srez.options import Options
from srez.run.checkpoint import read_run, write_checkpoint
from srez_train import Trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of checkpoints 1 to 3 whose weights are all equal to their numbers; 1 is best."""
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(Options())
    for batch in (1, 2, 3):
        for name, sign in (("average", 1), ("generator", -1)):
            network = trainer.state[name]
            values = [np.full(value.shape, sign * batch) for value in network.get_weights()]
            network.set_weights(values)
        best = {"name": "batch000001", "score": 0.5, "figures": {}}
        run = {"options": {"sample_size": 96}, "best": best}
        write_checkpoint(folder, batch, run, trainer.state)
    return folder


@pytest.mark.parametrize(("weights", "value"), [("best", 1), ("ema", 3), ("raw", -3)])
def test_the_weights_asked_for_are_loaded_and_said(run, capsys, weights, value):
    generator, size = srez.run.weights.load_generator(run, weights)
    assert all((one == value).all() for one in generator.get_weights())
    assert size == 24
    said = capsys.readouterr().out
    assert f"{'raw' if weights == 'raw' else 'averaged'} weights of" in said
    assert f"batch00000{abs(value)}" in said


def test_a_damaged_best_checkpoint_gives_way_to_the_newest_average(run, tmp_path):
    for path in run.glob("batch*"):
        os.symlink(path, tmp_path / path.name)
    (tmp_path / "batch000001").unlink()
    path, name, words = srez.run.weights.choose_checkpoint(tmp_path, "best")
    assert (path.name, name) == ("batch000003", "average")
    assert "damaged or gone" in words


def test_without_a_best_checkpoint_the_newest_average_is_taken(run, tmp_path):
    os.symlink(run / "batch000002", tmp_path / "batch000002")
    kept = read_run(run / "batch000002")
    write_checkpoint(tmp_path, 5, kept | {"best": None}, {})
    path, name, words = srez.run.weights.choose_checkpoint(tmp_path, "best")
    assert (path.name, name) == ("batch000005", "average")
    assert "none were found best yet" in words


def test_a_folder_without_checkpoints_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint in --checkpoint_dir="):
        srez.run.weights.load_generator(tmp_path, "best")


def test_many_pictures_go_through_in_parts():
    sizes = []

    def network(part, training):
        sizes.append(len(part))
        return part + 1

    low_res = np.arange(70.0).reshape(70, 1, 1, 1)
    assert (srez.run.weights.upscale(network, low_res) == low_res + 1).all()
    assert sizes == [32, 32, 6]
