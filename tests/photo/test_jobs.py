import pytest
from PIL import Image

from srez.photo.jobs import list_jobs


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_names_that_would_be_equal_all_keep_their_suffix(tmp_path):
    _touch(tmp_path, "a.jpg", "a.png", "a.jpg.png", "b.png")
    names = [job.target.name for job in list_jobs(tmp_path, tmp_path / "out", False)]
    assert names == ["a.jpg.png", "a.jpg.png.png", "a.png.png", "b.png.png"]


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


def test_a_folders_results_photos_and_comparisons_lie_apart(tmp_path):
    folder = _touch(tmp_path / "in", "a.jpg")
    [job] = list_jobs(folder, "out", True)
    outputs = [path.as_posix() for path in job.outputs]
    assert outputs == ["out/a.png", "out/compare/a.png", "out/photo/a.png"]


@pytest.mark.parametrize("name", ["result_photo.png", "result_1.png", "result_27.png"])
def test_a_picture_that_its_own_faces_could_overwrite_is_refused(here, name):
    Image.new("RGB", (16, 16)).save(name)
    with pytest.raises(OSError, match=f"would overwrite the input {name}"):
        list_jobs(name, None, True)
    assert len(list_jobs(name, None, False)) == 1


def test_a_jpeg_that_its_own_faces_could_overwrite_is_refused(here):
    Image.new("RGB", (16, 16)).save("me_1.jpg")
    with pytest.raises(OSError, match="would overwrite the input me_1.jpg"):
        list_jobs("me_1.jpg", "me.jpg", True)


def test_a_picture_is_not_overwritten_through_a_link_with_a_faces_number(here):
    folder = _touch(here / "in", "a.jpg")
    _touch(here / "out")
    (here / "out" / "a_2.png").symlink_to(folder / "a.jpg")
    with pytest.raises(OSError, match=r"would overwrite the input .*a_2.png"):
        list_jobs(folder, "out", True)


def test_pictures_in_a_folder_that_cant_be_read_are_counted(tmp_path, capsys):
    for name in ("a.webp", "b.heic", "c.HEIC"):
        (tmp_path / name).write_bytes(b"x")
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


def test_a_folder_in_a_faces_place_is_named(here):
    _touch(here, "in.jpg")
    (here / "result_2.png").mkdir()
    with pytest.raises(IsADirectoryError, match="--infer_output=result_2.png is a folder"):
        list_jobs("in.jpg", None, True)
