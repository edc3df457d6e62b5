import csv
import re
import shutil
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import srez_main
import srez_train
from srez.console import duration
from srez.pictures.grid import GAP, TITLE_HEIGHT
from srez.pictures.image import read_image
from srez.run.checkpoint import newest_checkpoint
from tests.conftest import cell, small_config, train_arguments


def test_a_training_ends_well_and_says_what_it_does(trained):
    _, process = trained
    assert (process.returncode, process.stderr) == (0, "")  # none but the program speaks
    assert "19 training, 2 validation and 3 test pictures" in process.stdout
    assert re.search(r"^Progress\[ 83%\], ETA\[ +\dm\], Batch \[  10\]", process.stdout, re.M)
    assert "Finished: trained 12 of 12 batches" in process.stdout


def test_a_sheet_is_written_each_period_and_at_both_ends(trained):
    sheets = sorted(path.name for path in (trained[0] / "train").glob("*.png"))
    assert sheets == [f"batch{batch:06d}_out.png" for batch in (0, 5, 10, 12)]


def test_a_sheet_has_a_row_per_test_face_and_four_columns(trained):
    sheet = read_image(trained[0] / "train" / "batch000012_out.png")
    assert sheet.shape == (TITLE_HEIGHT + 3 * (128 + GAP), GAP + 4 * (128 + GAP), 3)
    shown = [cell(sheet, 0, column, 128) for column in range(4)]
    assert all((image[::2, ::2] == image[1::2, 1::2]).all() for image in shown)  # magnified
    nearest, truth = (shown[column].reshape(16, 8, 16, 8, 3) for column in (0, 3))
    truth = truth.mean((1, 3))
    assert (nearest == nearest[:, :1, :, :1]).all()
    assert abs(truth - nearest[:, 0, :, 0]).max() < 1


def test_tensorboard_shows_losses_and_the_sheet(trained):
    events = EventAccumulator(str(trained[0] / "train"), size_guidance={"tensors": 0})
    events.Reload()
    names = events.Tags()["tensors"]
    assert {"loss/gene_loss", "learning_rate", "logits/real", "images_per_second"} <= set(names)
    assert [event.step for event in events.Tensors("sheet")] == [0, 5, 10, 12]
    assert [event.step for event in events.Tensors("loss/gene_loss")] == [10]


@pytest.fixture
def finished(trained_small, small, here):
    """A finished run in the folder where the test runs."""
    shutil.copytree(trained_small / "original", here, dirs_exist_ok=True)


def test_a_finished_run_says_so_and_does_nothing(finished, faces, capsys):
    assert srez_main.main(["srez_main.py", *train_arguments(faces, train_batches=12)]) == 0
    assert "trained 12 of 12 batches.\nRaise --train_batches" in capsys.readouterr().out
    assert newest_checkpoint("checkpoint").name == "batch000012"


def test_other_pictures_stop_a_run_with_status_3(finished, faces, here, capsys):
    (here / "others").mkdir()
    for number in range(20):
        (here / "others" / f"{number}.jpg").symlink_to(faces / "00.jpg")
    assert srez_main.main(["srez_main.py", *train_arguments("others", train_batches=12)]) == 3
    [line] = capsys.readouterr().err.splitlines()
    assert "--noresume" in line


@pytest.mark.slow
def test_the_step_is_traced_once_in_a_whole_run(whole_run):
    assert whole_run.traced == 1


@pytest.mark.slow
def test_train_time_ends_a_run_and_the_last_measurement_is_no_part_of_it(
    here, small, faces, capsys, monkeypatch
):
    seconds = []

    def measure(run, batch):
        seconds.append(run.progress.seconds)
        time.sleep(0.5)

    monkeypatch.setattr(srez_train.Run, "evaluate", measure)
    srez_train.train(small_config(faces, train_time=0.02))
    assert seconds[-1] >= 1.2
    assert f"Finished: trained {duration(seconds[-1])} of 1.2 s.\n" in capsys.readouterr().out


def test_validation_is_measured_at_its_period_and_at_the_end(trained):
    with open(trained[0] / "train" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["batch"] for row in rows] == ["12"]
    assert 5 < float(rows[0]["validation/psnr"]) < float(rows[0]["bicubic/psnr"]) < 40
    assert "Validation at batch 12 on 2 pictures:" in trained[1].stdout
