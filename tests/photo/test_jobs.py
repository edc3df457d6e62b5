import pytest

from srez.photo.jobs import list_jobs


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "results"),
    [
        (["a.jpg", "a.png", "b c.JPG"], ["a.jpg.png", "a.png.png", "b c.png"]),
        # One more would be equal to another's with its suffix: all keep theirs.
        (
            ["a.jpg", "a.jpg.png", "a.png", "b.png"],
            ["a.jpg.png", "a.jpg.png.png", "a.png.png", "b.png.png"],
        ),
    ],
)
def test_names_that_would_be_equal_keep_their_suffix(tmp_path, names, results):
    _touch(tmp_path, *names)
    found = [job.target.name for job in list_jobs(tmp_path, tmp_path / "out", False)]
    assert found == results


@pytest.mark.parametrize("faces", [False, True])
def test_a_name_that_a_face_could_get_makes_all_keep_their_suffix(tmp_path, faces):
    _touch(tmp_path, "a.jpg", "A_1.jpg", "b_2.jpg")
    jobs = list_jobs(tmp_path, "out", faces)
    names = [path.name for job in jobs for path in [job.target, *job.targets([1, 2])]]
    assert len({name.lower() for name in names}) == (9 if faces else 8)
    assert ("a.jpg.png" in names) == faces


def test_several_faces_are_numbered_and_one_is_not(tmp_path):
    _touch(tmp_path, "in.jpg")
    [job] = list_jobs(tmp_path / "in.jpg", "out/me.png", True)
    assert [path.as_posix() for path in job.targets([3])] == ["out/me.png"]
    assert [path.as_posix() for path in job.targets([1, 2])] == ["out/me_1.png", "out/me_2.png"]
    assert job.photo.as_posix() == "out/me_photo.png"


def _over(name):
    return OSError, f"--infer_output would overwrite the input {name}: give another"


# Input, output, whether faces are wanted; the error. Without faces the last ones are taken.
REFUSED = [
    ("nowhere.jpg", None, False, FileNotFoundError, "--infer_input=nowhere.jpg does not exist"),
    ("empty", None, False, FileNotFoundError, "--infer_input=empty holds no .jpg"),
    ("in", "in.png", False, NotADirectoryError, "--infer_output=in.png is a file"),
    ("in.png", "folder.png", False, IsADirectoryError, "--infer_output=folder.png is a folder"),
    ("in.png", "in.png", False, *_over("in.png")),
    ("in", "in", False, *_over("in/a.png")),
    ("in.png", "soft.png", False, *_over("soft.png")),
    ("in.png", "hard.png", False, *_over("hard.png")),
    ("in.png", "a.png", False, *_over("a_compare.png")),
    ("in.png", "two.png", True, IsADirectoryError, "--infer_output=two_2.png is a folder"),
    ("in", "out", True, *_over("out/a_2.png")),
    ("result_photo.png", None, True, *_over("result_photo.png")),
    ("result_1.png", None, True, *_over("result_1.png")),
    ("result_27.png", None, True, *_over("result_27.png")),
    ("me_1.jpg", "me.jpg", True, *_over("me_1.jpg")),
]


@pytest.mark.parametrize(("source", "output", "faces", "error", "words"), REFUSED)
def test_what_cant_be_read_or_would_be_overwritten_is_named(
    here, source, output, faces, error, words
):
    _touch(here, "in.png", "result_photo.png", "result_1.png", "result_27.png", "me_1.jpg")
    for name in ("empty", "folder.png", "two_2.png", "out"):
        _touch(here / name)
    _touch(here / "in", "a.png")
    for link in ("soft.png", "a_compare.png"):
        (here / link).symlink_to("in.png")
    (here / "hard.png").hardlink_to("in.png")
    (here / "out" / "a_2.png").symlink_to(here / "in" / "a.png")
    with pytest.raises(error, match=f"^{words}"):
        list_jobs(source, output, faces)
    if faces:
        assert len(list_jobs(source, output, False)) == 1


def test_pictures_in_a_folder_that_cant_be_read_are_counted(tmp_path, capsys):
    _touch(tmp_path, "a.webp", "b.heic", "c.HEIC")
    jobs = list_jobs(str(tmp_path), None, False)
    assert [job.source.name for job in jobs] == ["a.webp"]
    assert "left out 2 .heic: convert them to JPEG or PNG" in capsys.readouterr().err


def test_folders_in_a_folder_are_left_out_and_said_but_for_the_results(here, capsys):
    _touch(here, "a.jpg")
    for name in ("result", "deep", "@eaDir", ".git"):
        _touch(here / name, "b.jpg")
    assert [job.source.name for job in list_jobs(".", None, False)] == ["a.jpg"]
    assert capsys.readouterr().err == "srez: .: left out 2 folders in it: @eaDir, deep\n"
    for number in range(6):
        (here / f"more{number}").mkdir()
    list_jobs(".", None, False)
    said = "left out 8 folders in it: @eaDir, deep, more0, more1, more2, ...\n"
    assert capsys.readouterr().err.endswith(said)
