import json

import numpy as np
import pytest
import tensorflow as tf

from srez_checkpoint import (
    FIXED_OPTIONS,
    check_resumable,
    newest_checkpoint,
    read_options,
    restore,
    set_aside,
)
from srez_trainer import Trainer
from tests.conftest import make_config

OPTIONS = dict.fromkeys(FIXED_OPTIONS, 1) | {"source": "faces/", "fingerprint": "abc"}


def _save(folder, options=OPTIONS, **objects):
    checkpoint = tf.train.Checkpoint(options=tf.Variable(json.dumps(options)), **objects)
    return tf.train.CheckpointManager(checkpoint, folder, 2).save(1)


def test_there_is_no_checkpoint_in_an_empty_or_missing_folder(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_options_survive_a_checkpoint(tmp_path):
    _save(tmp_path)
    assert read_options(newest_checkpoint(tmp_path)) == OPTIONS


def test_all_of_the_training_survives_a_checkpoint(tmp_path):
    config = make_config(batch_size=2)
    trainer, other = Trainer(config), Trainer(make_config(batch_size=2, random_seed=9))
    high_res = tf.random.stateless_uniform((2, 32, 32, 3), seed=(0, 1))
    low_res = tf.nn.avg_pool2d(high_res, 4, 4, "VALID")
    trainer.train_step(low_res, high_res)
    trainer.seconds.assign(12.5)
    restore(_save(tmp_path, **trainer.state), **other.state)
    assert (int(other.batch), float(other.seconds)) == (1, 12.5)
    for name in ("generator", "discriminator", "average"):
        for one, two in zip(
            trainer.state[name].variables, other.state[name].variables, strict=True
        ):
            np.testing.assert_array_equal(one, two)
    for name in ("generator_optimizer", "discriminator_optimizer"):
        for one, two in zip(
            trainer.state[name].variables, other.state[name].variables, strict=True
        ):
            np.testing.assert_array_equal(one, two)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = _save(tmp_path, batch=tf.Variable([1.0, 2.0]))
    with pytest.raises(OSError, match="does not fit"):
        restore(path, batch=tf.Variable(1.0))


def test_a_checkpoint_without_options_is_refused(tmp_path):
    path = tf.train.Checkpoint(batch=tf.Variable(1)).save(str(tmp_path / "ckpt"))
    with pytest.raises(OSError, match="no checkpoint of srez"):
        read_options(path)


def test_a_run_may_go_on_with_its_own_options(tmp_path):
    check_resumable(_save(tmp_path), OPTIONS | {"source": "moved/"})


def test_a_run_may_not_go_on_with_other_pictures(tmp_path):
    with pytest.raises(FileExistsError, match="trained on faces/.*dataset/.*--noresume"):
        check_resumable(_save(tmp_path), OPTIONS | {"source": "dataset/", "fingerprint": "x"})


@pytest.mark.parametrize("name", FIXED_OPTIONS)
def test_a_run_may_not_go_on_with_other_fixed_options(tmp_path, name):
    with pytest.raises(FileExistsError, match=f"trained with --{name}=1, not 2.*--noresume"):
        check_resumable(_save(tmp_path), OPTIONS | {name: 2})


def test_folders_are_set_aside_under_one_free_number(tmp_path):
    for name in ("train", "checkpoint", "train.1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    set_aside([tmp_path / "train", tmp_path / "checkpoint"])
    names = {path.name: (path / "file").read_text() for path in tmp_path.iterdir()}
    assert names == {"train.1": "train.1", "train.2": "train", "checkpoint.2": "checkpoint"}


def test_empty_and_missing_folders_stay(tmp_path):
    (tmp_path / "train").mkdir()
    assert set_aside([tmp_path / "train", tmp_path / "nowhere"]) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_folder_in_another_is_set_aside_with_it(tmp_path):
    (tmp_path / "train" / "checkpoint").mkdir(parents=True)
    (tmp_path / "train" / "checkpoint" / "file").touch()
    set_aside([tmp_path / "train", tmp_path / "train" / "checkpoint", tmp_path / "train"])
    assert (tmp_path / "train.1" / "checkpoint.1" / "file").exists()
