"""The tab in which many pictures are made sharp, and given as a gallery and a zip."""

import os
import shutil
import time
import zipfile
from pathlib import Path

import gradio as gr

from srez.console import counted
from srez.page.visitors import gone, named, refused
from srez.photo.jobs import list_jobs

MAX_FILES = 100  # pictures at a time
MAX_SECONDS = 1800  # that they may take: others are waiting
FACELESS = "A face is found if it looks into the camera, more or less."


class Many:
    """What the tab does, for page.visitors.Visitors.

    `faces`, a function, waits for the networks and gives what enlarges by them.
    """

    def __init__(self, visitors, faces):
        self._visitors = visitors
        self._faces = faces

    def build(self):
        """Adds the tab's components to the page that is being built."""
        uploads = gr.File(
            label="Pictures, or all those of a folder: drop them here",
            file_count="multiple",
            elem_id="uploads",
        )
        button = gr.Button("Make all their faces sharp", variant="primary", elem_id="all")
        words = gr.Markdown(elem_id="failures")
        gallery = gr.Gallery(label="Results", format="png", columns=4, elem_id="gallery")
        archive = gr.File(label="Download all", interactive=False, elem_id="zip")
        button.click(self.sharpen_all, uploads, [words, gallery, archive], concurrency_id="many")

    def sharpen_all(self, paths, request: gr.Request):
        """(words, the results, a zip of them) of many pictures."""
        if not paths:
            return "Choose some pictures first.", None, None
        if len(paths) > MAX_FILES:
            raise refused(f"{len(paths)} pictures: give {MAX_FILES} at most")
        faces = self._faces()
        folder = self._visitors.fresh(request.session_hash)
        inputs, outputs = folder / "inputs", folder / "results"
        with gone("A picture"):
            _gather(paths, inputs)
            try:
                jobs = list_jobs(str(inputs), str(outputs), True)
            except OSError as error:
                raise refused("None of these files is a picture") from error
            lines = self._enlarged(jobs, faces, request.session_hash)
            shutil.rmtree(inputs)
            made = sorted(outputs.glob("*.png"))
            archive = folder / "srez.zip"
            with zipfile.ZipFile(archive, "w") as file:
                for path in sorted(outputs.rglob("*.png")):
                    file.write(path, path.relative_to(outputs))
        lines = [f"{counted(len(made), 'result')} made.", *lines]
        if len(jobs) < len(paths):
            lines.append(f"Left out: {len(paths) - len(jobs)} that are no pictures.")
        return "\n\n".join(lines), [(path, path.stem) for path in made], str(archive)

    def _enlarged(self, jobs, faces, session):
        """Does many jobs; returns lines on those that failed and those that were left."""
        from srez.photo.faces import NoFace  # here, for it needs TensorFlow, which comes later
        from srez.photo.output import enlarge_all

        last, lines = time.monotonic() + MAX_SECONDS, []
        for at in range(0, len(jobs), faces.at_once):
            try:
                self._visitors.check_room(session)
                if time.monotonic() > last:
                    raise refused(f"They take more than {MAX_SECONDS // 60} minutes")
            except gr.Error as error:
                return [*lines, f"{error.message}. Not made: {len(jobs) - at}."]
            if not self._visitors.is_here(session):
                raise FileNotFoundError  # nobody waits for them any more
            failures = enlarge_all(jobs[at : at + faces.at_once], faces, quiet=True)
            lines += [named(error, jobs[0].source) for error in failures]
            if any(isinstance(error, NoFace) for error in failures) and FACELESS not in lines:
                lines.append(FACELESS)
        return lines


def _gather(paths, folder):
    """Links pictures into a new folder, each under its name, or with its number where that is."""
    folder.mkdir()
    for number, path in enumerate(map(Path, paths), 1):
        name = path.name
        while (folder / name).exists():
            name = f"{number}_{name}"
        try:
            os.link(path, folder / name)
        except OSError:  # another disk, or one without links
            shutil.copy(path, folder / name)
