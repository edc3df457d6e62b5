"""A run that several tests look at."""

import contextlib
import types
from unittest import mock

import pytest

import srez_train
from srez.run import checkpoint
from tests.conftest import made_once, small_config
from tests.small import shrink


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory, faces):
    """A run of 4 batches, never stopped, that saved after each and found an old sheet in its way.

    Its networks are small. Its `folder`, the `saved` batches, and how often its step was `traced`.
    """

    def run(folder):
        (folder / "train").mkdir()
        (folder / "train" / "batch000007_out.png").write_text("old")
        config = small_config(faces, train_batches=4, summary_period=2, checkpoint_minutes=1e-9)
        write = mock.patch.object(checkpoint, "write_checkpoint", wraps=checkpoint.write_checkpoint)
        run = mock.patch.object(srez_train, "Run", wraps=srez_train.Run)
        patch = pytest.MonkeyPatch.context()
        with contextlib.chdir(folder), write as writes, run as runs, patch as patched:
            shrink(patched.setattr)
            srez_train.train(config)
        saved = [call.args[1] for call in writes.call_args_list]
        return saved, runs.call_args.args[0]._step.experimental_get_tracing_count()

    folder, (saved, traced) = made_once(tmp_path_factory, "whole", run)
    return types.SimpleNamespace(folder=folder, saved=saved, traced=traced)
