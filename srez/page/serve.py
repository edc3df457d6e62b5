"""A page in the browser: photos made sharp, faces painted, a training watched.

Read from top to bottom: the server -> the page -> Photo -> Draw -> Training. The networks, and what
is made of a picture, are those of srez_infer.
"""

import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np

from srez.console import complain, counted, say
from srez.drawn.faces import draw_face
from srez.files import printable, resource
from srez.page.draw import Drawing
from srez.page.server import KEPT_SECONDS, asset, is_local, launch, temporary_folder
from srez.page.training import Training
from srez.photo.align import box_side
from srez.photo.compare import INVENTED_GAIN, invented, with_boxes
from srez.photo.jobs import Job, list_jobs
from srez.pictures.image import read_image, to_uint8, write_image
from srez.quality.metrics import averages_back, trueness
from srez.run.weights import Networks
from srez_infer import Faces, Item, enlarge_all, write_results

ASTRONAUT = resource("docs/astronaut_small.png")
MAX_FILES = 100  # pictures at a time
SHOWN_SIDE = 1024  # pixels of a photo with its boxes, the longer side
RESULT_SIDE = 512  # pixels; small pictures are magnified to that for the eye
MARK = np.float32([1.0, 0.1, 0.8])  # what is invented: magenta, which no face has


def serve(options):
    """Serves the page until Ctrl-C. Nothing that was uploaded or made stays on the disk.

    Raises:
        OSError: no such address, the port is in use, or no weights.
    """
    ended = []  # the exit status, once a signal has come

    def end(number, _):
        ended.append(128 + number)
        sys.exit(ended[0])

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        _serve(options, ended)
    finally:
        if ended:  # threads of Gradio and TensorFlow would hold up the end by seconds
            os._exit(ended[0])


def _serve(options, ended):
    with temporary_folder() as folder:
        page = Page(options, folder)
        address = launch(page.build(), options)
        say(f"Open {address} in a browser. Ctrl-C ends it.")
        if not is_local(options.serve_host) and not options.serve_password:
            complain(
                f"--serve_host={options.serve_host}: all who reach this machine can use the page; "
                "give --serve_password"
            )
        threading.Thread(target=page.drawing.warm_up, daemon=True).start()
        # An exception raised by the handler can be lost, in a library's callback: hence the list.
        while not ended:
            time.sleep(0.1)


class OneByOne(Faces):
    """Enlarges the faces of one request, at its own fidelity, while all others wait."""

    def enlarge(self, items):
        """As that of Faces, a list."""
        with self.networks.lock:
            self.networks.fidelity = self.options.fidelity
            return list(super().enlarge(items))


def _picture(label, name, **about):
    """A component that shows a picture, nothing to be shared elsewhere."""
    buttons = ["download", "fullscreen"]
    about = {"format": "png", "interactive": False, "buttons": buttons, "min_width": 280} | about
    return gr.Image(label=label, elem_id=name, **about)


@dataclasses.dataclass(frozen=True)
class Photo:
    """An upload that was read: its Item with all faces, and how its picture with boxes is made."""

    item: Item
    widths: list  # of the faces, in pixels
    centres: list  # (x, y) of them in the picture that is shown

    @property
    def words(self):
        """What it is, and how many faces it has."""
        return _named(". ".join([self.item.words, *self.item.notes]), self.item.job.source)

    def of_face(self, number, folder):
        """The Item of one face alone, whose results go to a folder."""
        item, at = self.item, number - 1
        stem = item.job.source.stem
        job = Job(item.job.source, *(folder / f"{stem}_{end}.png" for end in _ENDS))
        eyes = None if item.eyes is None else [item.eyes[at]]
        return dataclasses.replace(
            item, job=job, parts=[item.parts[at]], numbers=(number,), eyes=eyes, found=(), notes=[]
        )


_ENDS = ("srez", "compare", "photo")


class Page:
    """What the page does; its files go into `folder`, a folder in it for each visitor."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.networks = Networks(options)
        self.networks.invented = self.networks.has_ends
        self.drawing = Drawing(self.networks)

    def faces(self, fidelity):
        """What enlarges faces at a fidelity."""
        options = dataclasses.replace(self.options, faces="all", face=0, fidelity=fidelity)
        return OneByOne(self.networks, options)

    def visitor(self, request):
        """The folder of one visitor."""
        folder = self.folder / "visitors" / request.session_hash
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def fresh(self, request):
        """A new folder for one answer: of an old address a browser shows the old picture."""
        return Path(tempfile.mkdtemp(dir=self.visitor(request)))

    def leave(self, request: gr.Request):
        """Removes what was made for a visitor who has left."""
        shutil.rmtree(self.folder / "visitors" / request.session_hash, ignore_errors=True)

    def build(self):
        """The gr.Blocks."""
        with gr.Blocks(
            title="srez", analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)
        ) as demo:
            gr.Markdown(f"{asset('intro.md')}\nUsing the {self.networks.words}.")
            with gr.Tab("Photo"):
                self._build_photo()
            with gr.Tab("Many"):
                self._build_many()
            with gr.Tab("Draw"):
                self.drawing.build()
            with gr.Tab("Training") as tab:
                Training(self.options.train_dir, self.folder).build(tab)
            demo.unload(self.leave)
        return demo

    # Photo

    def _build_photo(self):
        photo = gr.State(None)
        upload, found, number = self._build_choice()
        words = gr.Markdown(elem_id="words")
        fidelity = gr.Slider(
            0,
            1,
            self.options.fidelity,
            step=0.05,
            label="From 0, true to the pixels, to 1, plausible detail",
            visible=self.networks.has_ends,
            elem_id="fidelity",
        )
        slider, invented, compare, files = self._build_results()
        button = gr.Button("Put the face back into the photo", visible=False, elem_id="back")
        whole = _picture("The photo with this face put back", "whole", visible=False)
        results = [words, slider, invented, compare, files, whole]
        chosen = [photo, number, fidelity]
        always = {"show_progress": "hidden", "trigger_mode": "always_last", "concurrency_id": "net"}
        upload.change(
            self.look, upload, [photo, found, number, button, words], concurrency_id="net"
        ).success(self.sharpen, chosen, results, concurrency_id="net")
        found.select(self.choose, photo, number).success(self.sharpen, chosen, results, **always)
        gr.on([number.input, fidelity.input], self.sharpen, chosen, results, **always)
        button.click(self.put_back, chosen, [whole, files], concurrency_id="net")

    def _build_choice(self):
        """Adds a row: the upload, beside it the faces found and the number of the chosen one."""
        with gr.Row():
            with gr.Column():
                upload = gr.Image(
                    label="Your picture",
                    sources=["upload", "clipboard", "webcam"],
                    type="filepath",
                    image_mode=None,
                    height=320,
                    buttons=["fullscreen"],
                    elem_id="upload",
                )
                # As it was uploaded: Gradio would open it, and say nothing useful of a bad one.
                upload.preprocess = lambda payload: payload and payload.path
                gr.Examples(self._examples(), upload, label="Or one of these", elem_id="examples")
            with gr.Column():
                found = _picture("Faces found: click on one", "found", height=320)
                number = gr.Radio([], label="Face, from left to right", elem_id="face")
        return upload, found, number

    def _build_results(self):
        """Adds before and after, what is invented, the comparison and the files."""
        with gr.Row():
            slider = gr.ImageSlider(
                label="Before and after: move the line",
                format="png",
                interactive=False,
                min_width=280,
                elem_id="slider",
            )
            words = "What is invented (magenta)"
            invented = _picture(words, "invented", visible=self.networks.has_ends)
        compare = _picture("Comparison", "compare")
        files = gr.File(label="Download", interactive=False, elem_id="files")
        return slider, invented, compare, files

    def _examples(self):
        face = self.folder / "drawn.png"
        write_image(face, np.asarray(draw_face(1, 0)))
        return [[str(path)] for path in (ASTRONAUT, face) if path.is_file()]

    def look(self, path, request: gr.Request):
        """Reads an upload: (Photo, picture with boxes, choice of faces, button, words)."""
        if path is None:
            return None, None, gr.Radio([], value=None), gr.Button(visible=False), ""
        path = Path(path)
        try:
            item = self.faces(1.0).read(Job(path, path, path, path))
            image = read_image(path)
        except OSError as error:
            raise gr.Error(_named(error, path), print_exception=False) from error
        eyes = () if item.eyes is None else item.eyes
        width = max(round(SHOWN_SIDE * image.shape[1] / max(image.shape[:2])), 1)
        picture, centres = with_boxes(image, eyes, width)
        photo = Photo(item, [round(box_side(pair)) for pair in eyes], centres)
        numbers = [*range(1, len(photo.widths) + 1)]
        return (
            photo,
            _shown(self.fresh(request), "found", picture),
            gr.Radio(numbers, value=1 if numbers else None),
            gr.Button(visible=bool(numbers)),
            photo.words,
        )

    def choose(self, photo, event: gr.SelectData):
        """The number of the face next to a click."""
        if photo is None or not photo.centres:
            return gr.skip()
        away = [abs(complex(*centre) - complex(*event.index)) for centre in photo.centres]
        return 1 + int(np.argmin(away))

    def sharpen(self, photo, number, fidelity, request: gr.Request):
        """The chosen face's results: (words, before and after, invented, comparison, files, _)."""
        nothing = gr.Image(None, visible=False)
        if photo is None:
            return "", None, None, None, None, nothing
        folder = self.fresh(request)
        one = photo.of_face(number or 1, folder)
        part, output = self._written(dataclasses.replace(one, eyes=None), fidelity)
        result = read_image(one.job.target)
        before = part.low_res.repeat(4, axis=0).repeat(4, axis=1)
        overlay = levels = None
        if len(output) > 1:
            picture, levels = _overlay(result, *output[1:])
            overlay = _shown(folder, "invented", picture)
        words = _in_words(photo, part, result, levels)
        files = [str(one.job.target), str(one.job.comparison)]
        pair = {"before": before, "after": result}
        slider = tuple(_shown(folder, name, _magnified(pair[name])) for name in pair)
        return words, slider, overlay, str(one.job.comparison), files, nothing

    def put_back(self, photo, number, fidelity, request: gr.Request):
        """(the photo with the chosen face put back, all files)."""
        if photo is None:
            return gr.skip(), gr.skip()
        one = photo.of_face(number or 1, self.fresh(request))
        try:
            self._written(one, fidelity)
        except FileNotFoundError as error:  # it is removed after an hour
            name = photo.item.job.source.name
            raise gr.Error(f"{name} is gone: upload it again", print_exception=False) from error
        return gr.Image(str(one.job.photo), visible=True), list(map(str, one.job.outputs))

    def _written(self, item, fidelity):
        """The Part and the outputs of an Item of one face, whose files are written."""
        [(item, [output])] = self.faces(fidelity).enlarge([item])
        write_results(item, [output])
        return item.parts[0], output

    # Many photos

    def _build_many(self):
        uploads = gr.File(
            label="Pictures, or all those of a folder: drop them here",
            file_count="multiple",
            elem_id="uploads",
        )
        button = gr.Button("Make all their faces sharp", variant="primary", elem_id="all")
        words = gr.Markdown(elem_id="failures")
        gallery = gr.Gallery(label="Results", format="png", columns=4, elem_id="gallery")
        archive = gr.File(label="Download all", interactive=False, elem_id="zip")
        button.click(self.sharpen_all, uploads, [words, gallery, archive], concurrency_id="net")

    def sharpen_all(self, paths, request: gr.Request):
        """(words, the results, a zip of them) of many pictures."""
        if not paths:
            return "Choose some pictures first.", None, None
        if len(paths) > MAX_FILES:
            raise gr.Error(
                f"{len(paths)} pictures: give {MAX_FILES} at most", print_exception=False
            )
        folder = self.fresh(request)
        inputs, outputs = folder / "inputs", folder / "results"
        inputs.mkdir(parents=True)
        for number, path in enumerate(map(Path, paths), 1):
            name = path.name
            while (inputs / name).exists():
                name = f"{number}_{name}"
            shutil.copy(path, inputs / name)
        try:
            jobs = list_jobs(str(inputs), str(outputs), True)
        except OSError as error:
            raise gr.Error("None of these files is a picture", print_exception=False) from error
        failures = enlarge_all(jobs, self.faces(self.options.fidelity), quiet=True)
        shutil.rmtree(inputs)
        made = sorted(outputs.glob("*.png"))
        archive = folder / "srez.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(outputs.rglob("*.png")):
                file.write(path, path.relative_to(outputs))
        lines = [f"{counted(len(made), 'result')} made."]
        lines += [_named(error, inputs / "_") for error in failures]
        if len(jobs) < len(paths):
            lines.append(f"Left out: {len(paths) - len(jobs)} that are no pictures.")
        return "\n\n".join(lines), [(path, path.stem) for path in map(Path, made)], str(archive)


def _in_words(photo, part, result, levels):
    """What was done, how true it is, and how much is invented."""
    lines = [photo.words]
    if part.tip:
        lines.append(f"**{part.tip}**")
    lines.append(trueness([averages_back(result, part.low_res)]))
    if levels is not None:
        lines.append(
            f"**The details are invented**, {levels:.1f} of 255 levels on average: plausible, "
            "not true."
        )
    return "\n\n".join(lines)


def _shown(folder, name, image):
    """The file of an image to be shown, which is whole whoever reads it meanwhile."""
    path = folder / f"{name}.png"
    write_image(path, image)
    return str(path)


def _named(text, path):
    """A line on an upload, which names it without the folder that it lies in."""
    return str(text).replace(f"{printable(str(path.parent))}/", "")


def _overlay(result, faithful, plausible):
    """(a result uint8 [H, W, 3] with the invented marked, how many of 255 levels are invented)."""
    gap = invented(faithful, plausible)
    share = np.clip(INVENTED_GAIN * gap, 0.0, 1.0)
    marked = (1 - share) * result / np.float32(255.0) + share * MARK
    return _magnified(marked), 255 * float(gap.mean())


def _magnified(image):
    """An image as uint8, its pixels repeated for the eye."""
    times = max(RESULT_SIDE // max(image.shape[:2]), 1)
    return to_uint8(image).repeat(times, axis=0).repeat(times, axis=1)
