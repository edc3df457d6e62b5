import csv
import json
import re

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import srez_train
from srez.pictures.image import read_image
from srez.run.checkpoint import newest_checkpoint
from srez.run.weights import choose_checkpoint
from tests.conftest import run_main, small_config, train_arguments


def test_a_training_ends_well_and_says_what_it_does(trained):
    _, process = trained
    assert process.returncode == 0
    assert "19 training, 2 validation and 3 test pictures" in process.stdout
    assert re.search(r"^Progress\[ 83%\], ETA\[ +\dm\], Batch \[  10\]", process.stdout, re.M)
    assert "Finished: trained 12 of 12 batches" in process.stdout


def test_nothing_but_the_program_speaks_on_the_console(trained):
    assert trained[1].stderr == ""


def test_a_sheet_is_written_each_period_and_at_both_ends(trained):
    sheets = sorted(path.name for path in (trained[0] / "train").glob("*.png"))
    assert sheets == [f"batch{batch:06d}_out.png" for batch in (0, 5, 10, 12)]


def test_a_sheet_has_a_row_per_test_face_and_four_columns(trained):
    sheet = read_image(trained[0] / "train" / "batch000012_out.png")
    assert sheet.shape == (3 * 64, 4 * 64, 3)
    truth = sheet[:64, 192:].reshape(16, 4, 16, 4, 3).mean((1, 3))
    nearest = sheet[:64, :64].reshape(16, 4, 16, 4, 3)
    assert (nearest == nearest[:, :1, :, :1]).all()
    assert abs(truth - nearest[:, 0, :, 0]).max() < 1


def test_options_are_kept(trained):
    options = json.loads((trained[0] / "train" / "options.json").read_text())
    assert options["train_batches"] == 12
    assert options["batch_size"] == 4
    assert options["train_time"] is None


def test_tensorboard_shows_losses_and_the_sheet(trained):
    events = EventAccumulator(str(trained[0] / "train"), size_guidance={"tensors": 0})
    events.Reload()
    names = events.Tags()["tensors"]
    assert {"loss/gene_loss", "learning_rate", "logits/real", "images_per_second"} <= set(names)
    assert [event.step for event in events.Tensors("sheet")] == [0, 5, 10, 12]
    assert [event.step for event in events.Tensors("loss/gene_loss")] == [10]


def test_a_finished_run_says_so_and_does_nothing(trained, faces):
    process = run_main(*train_arguments(faces, train_batches=12), cwd=trained[0])
    assert process.returncode == 0
    assert "trained 12 of 12 batches: raise --train_batches" in process.stdout
    assert newest_checkpoint(trained[0] / "checkpoint").name == "batch000012"


def test_other_pictures_stop_a_run_with_status_3(trained, faces, tmp_path):
    (tmp_path / "x").symlink_to(faces / "00.jpg")
    arguments = train_arguments(tmp_path, train_batches=12)
    for number in range(20):
        (tmp_path / f"{number}.jpg").symlink_to(faces / "00.jpg")
    process = run_main(*arguments, cwd=trained[0])
    assert process.returncode == 3
    assert process.stderr.count("\n") == 1
    assert "--noresume" in process.stderr


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_as_one_never_stopped(here, faces):
    paths = []
    for name, totals in (("whole", [4]), ("stopped", [2, 4])):
        for total in totals:
            folders = {"train_dir": here / name, "checkpoint_dir": here / name / "checkpoint"}
            srez_train.train(small_config(faces, train_batches=total, **folders))
        paths.append(newest_checkpoint(here / name / "checkpoint"))
    # The seconds differ; weights, averages and optimizer slots are the same bits.
    whole, stopped = (tf.train.load_checkpoint(str(path / "tensors")) for path in paths)
    names = [
        name
        for name in whole.get_variable_to_shape_map()
        if not name.startswith(("seconds", "_CHECKPOINTABLE"))
    ]
    assert len(names) > 200
    for name in names:
        assert (whole.get_tensor(name) == stopped.get_tensor(name)).all(), name


@pytest.mark.slow
def test_the_step_is_traced_once_in_a_whole_run(here, faces, monkeypatch):
    trainers = []

    class Recorded(srez_train.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            trainers.append(self)

    monkeypatch.setattr(srez_train, "Trainer", Recorded)
    srez_train.train(small_config(faces, train_batches=4, summary_period=2, checkpoint_period=3))
    assert [trainer._step.experimental_get_tracing_count() for trainer in trainers] == [1]


@pytest.mark.slow
def test_noresume_moves_the_old_results_aside(here, faces, capsys):
    srez_train.train(small_config(faces, train_batches=1))
    srez_train.train(small_config(faces, train_batches=1, resume=False, random_seed=3))
    assert "Moved an earlier run's results aside" in capsys.readouterr().out
    for folder, seed in (("train.1", 0), ("train", 3)):
        assert json.loads((here / folder / "options.json").read_text())["random_seed"] == seed
    assert newest_checkpoint(here / "checkpoint.1")


@pytest.mark.slow
def test_sheets_without_a_checkpoint_are_moved_aside(here, faces):
    (here / "train").mkdir()
    (here / "train" / "batch000007_out.png").write_text("old")
    srez_train.train(small_config(faces, train_batches=1))
    assert (here / "train.1" / "batch000007_out.png").read_text() == "old"
    assert not (here / "train" / "batch000007_out.png").exists()


@pytest.mark.slow
def test_two_checkpoints_are_kept(here, faces):
    srez_train.train(small_config(faces, train_batches=5, checkpoint_period=1))
    names = sorted(path.name for path in (here / "checkpoint").iterdir())
    assert names == ["batch000004", "batch000005", "lock"]


@pytest.mark.slow
def test_train_time_ends_a_run(here, faces, capsys):
    srez_train.train(small_config(faces, train_time=0.05))
    assert re.search(r"Finished: trained \S+ of 0.05 minutes", capsys.readouterr().out)


@pytest.mark.slow
def test_pictures_that_cannot_be_read_end_a_run_with_one_line(here, faces, capsys):
    for number, face in enumerate(sorted(faces.iterdir())):
        content = face.read_bytes() if number < 3 else b"broken"
        (here / f"{number:02d}.jpg").write_bytes(content)
    names = "".join(f"{number:02d}.jpg 2\n" for number in range(3))
    (here / "list_eval_partition.txt").write_text(names)
    with pytest.raises(OSError, match="^100 pictures in a row can't be read"):
        srez_train.train(small_config(here, train_batches=1))


def test_validation_is_measured_at_its_period_and_at_the_end(trained):
    with open(trained[0] / "train" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["batch"] for row in rows] == ["12"]
    assert 5 < float(rows[0]["validation/psnr"]) < float(rows[0]["bicubic/psnr"]) < 40
    assert "Validation at batch 12, 2 pictures" in trained[1].stdout


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_whatever_its_age(here, faces, monkeypatch, capsys):
    scores = iter([0.2, 0.4, 0.3, 0.3, 0.3])

    def scored(self, batch, network, best):
        score = next(scores)
        if best is None or score > best["score"]:
            best = {"name": f"batch{batch:06d}", "score": score}
        return {"validation/score": score}, best

    monkeypatch.setattr(srez_train.Validation, "measure", scored)
    config = small_config(faces, train_batches=5, evaluate_period=1, checkpoint_period=1)
    srez_train.train(config)
    names = sorted(path.name for path in (here / "checkpoint").iterdir())
    assert names == ["batch000002", "batch000004", "batch000005", "lock"]
    assert choose_checkpoint(here / "checkpoint", "best")[0].name == "batch000002"
