"""The tab in which a photo's faces are boxed, and the chosen one is made sharp.

What needs TensorFlow is imported where it is used, after the networks are there: the page is shown
before. Read from top to bottom: an upload -> the tab -> looking -> sharpening.
"""

import dataclasses
from pathlib import Path

import gradio as gr
import numpy as np

from srez.drawn.faces import draw_face
from srez.files import resource
from srez.page.many import FACELESS
from srez.page.visitors import gone, named, number_in, refused
from srez.photo.align import box_side, turns_upright
from srez.photo.jobs import Job
from srez.pictures.formats import MAX_PIXELS
from srez.pictures.image import read_image, to_uint8, write_image
from srez.quality.descriptors import turned
from srez.quality.metrics import averages_back, trueness

ASTRONAUT = resource("docs/astronaut_small.png")
SHOWN_SIDE = 1024  # pixels of a photo with its boxes, the longer side
RESULT_SIDE = 512  # pixels; small pictures are magnified to that for the eye
MARK = np.float32([1.0, 0.1, 0.8])  # what is invented: magenta, which no face has
_ENDS = ("srez", "compare", "photo")


@dataclasses.dataclass(frozen=True)
class Upload:
    """A picture that was read: its photo.faces.Item with all faces, and how it is shown."""

    item: object
    widths: list  # of the faces, in pixels
    centres: list  # (x, y) of them in the picture that is shown

    @property
    def words(self):
        """What it is, and how many faces it has."""
        return named(". ".join([self.item.words, *self.item.notes]), self.item.job.source)

    def of_face(self, number, folder):
        """The photo.faces.Item of one face alone, whose results go to a folder."""
        item = self.item
        number = number_in(1 if number is None else number, 1, len(item.parts), "Face")
        at = int(number) - 1
        stem = item.job.source.stem
        job = Job(item.job.source, *(folder / f"{stem}_{end}.png" for end in _ENDS))
        eyes = None if item.eyes is None else [item.eyes[at]]
        return dataclasses.replace(
            item, job=job, parts=[item.parts[at]], numbers=(at + 1,), eyes=eyes, found=(), notes=[]
        )


class Photo:
    """What the tab does, for page.visitors.Visitors.

    `faces`, a function of a fidelity, waits for the networks and gives what enlarges by them.
    `fidelity` is where the slider begins, and `has_ends` whether there is one.
    """

    def __init__(self, visitors, faces, fidelity, has_ends):
        self._visitors = visitors
        self._faces = faces
        self._fidelity = fidelity
        self._has_ends = has_ends

    def build(self):
        """Adds the tab's components to the page that is being built."""
        photo = gr.State(None)
        upload, found, number = self._build_choice()
        words = gr.Markdown(elem_id="words")
        fidelity = gr.Slider(
            0,
            1,
            self._fidelity,
            step=0.05,
            label="From 0, true to the pixels, to 1, plausible detail",
            visible=self._has_ends,
            elem_id="fidelity",
        )
        slider, invented, compare, files = self._build_results()
        button = gr.Button("Put the face back into the photo", visible=False, elem_id="back")
        whole = _picture("The photo with this face put back", "whole", visible=False)
        results = [words, slider, invented, compare, files, whole]
        chosen = [photo, number, fidelity]
        always = {"show_progress": "hidden", "trigger_mode": "always_last", "concurrency_id": "net"}
        always["api_visibility"] = "private"  # a client calls what follows an upload
        # As it was uploaded: Gradio would open it, and say nothing useful of a bad one.
        raw = {"preprocess": False, "concurrency_id": "net"}
        upload.change(self.look, upload, [photo, found, number, button, words], **raw).success(
            self.sharpen, chosen, results, concurrency_id="net"
        )
        found.select(self.choose, photo, number, api_visibility="private").success(
            self.sharpen, chosen, results, **always
        )
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
                about = {"label": "Or one of these", "elem_id": "examples"}
                shown = gr.Examples(self._examples(), upload, **about).dataset
                last = len(shown.raw_samples) - 1
                shown.preprocess = lambda at: (
                    at,
                    shown.raw_samples[number_in(at, 0, last, "Example")],
                )
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
            invented = _picture(words, "invented", visible=self._has_ends)
        compare = _picture("Comparison", "compare")
        files = gr.File(label="Download", interactive=False, elem_id="files")
        return slider, invented, compare, files

    def _examples(self):
        face = self._visitors.folder / "drawn.png"
        write_image(face, np.asarray(draw_face(1, 0)))
        return [[str(path)] for path in (ASTRONAUT, face) if path.is_file()]

    def look(self, upload, request: gr.Request):
        """Reads an upload, a path or Gradio's dict of one.

        Returns (Upload, picture with boxes, choice of faces, button, words).
        """
        nothing = (None, None, gr.Radio([], value=None), gr.Button(visible=False))
        path = upload.get("path") if isinstance(upload, dict) else upload
        if path is None:
            return *nothing, ""
        faces = self._faces(1.0)
        path, folder = Path(path), self._visitors.fresh(request.session_hash)
        from srez.photo.compare import with_boxes
        from srez.photo.faces import NoFace

        try:
            item = faces.read(Job(path, path, path, path))
            image = read_image(path)
        except NoFace as error:
            return *nothing, f"{named(error, path)}. {FACELESS}"
        except OSError as error:
            raise refused(named(error, path)) from error
        eyes = np.zeros((0, 2, 2)) if item.eyes is None else np.array(item.eyes)
        image, eyes = turned(image, eyes, turns_upright(eyes))
        width = max(round(SHOWN_SIDE * image.shape[1] / max(image.shape[:2])), 1)
        picture, centres = with_boxes(image, eyes, width)
        photo = Upload(item, [round(box_side(pair)) for pair in eyes], centres)
        numbers = [*range(1, len(photo.widths) + 1)]
        return (
            photo,
            _shown(folder, "found", picture),
            gr.Radio(numbers, value=1 if numbers else None),
            gr.Button(visible=bool(numbers)),
            photo.words,
        )

    def choose(self, photo, event: gr.EventData):
        """The number of the face next to a click."""
        if photo is None or not photo.centres:
            return gr.skip()
        try:
            x, y = event.index
        except (AttributeError, TypeError, ValueError) as error:
            raise refused("A click has two numbers") from error
        click = complex(*(number_in(at, -MAX_PIXELS, MAX_PIXELS, "A click") for at in (x, y)))
        return 1 + int(np.argmin([abs(complex(*centre) - click) for centre in photo.centres]))

    def sharpen(self, photo, number, fidelity, request: gr.Request):
        """The chosen face's results: (words, before and after, invented, comparison, files, _)."""
        nothing = gr.Image(None, visible=False)
        if photo is None:
            return gr.skip(), None, None, None, None, nothing  # `look` has said why
        folder = self._visitors.fresh(request.session_hash)
        one = photo.of_face(number, folder)
        part, output = self._written(dataclasses.replace(one, eyes=None), fidelity)
        from srez.pictures.geometry import interpolate

        result = read_image(one.job.target)
        [before] = interpolate(part.known[None], "nearest", result.shape[:2]).numpy()
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
        if photo is None or photo.item.eyes is None:
            return gr.skip(), gr.skip()
        one = photo.of_face(number, self._visitors.fresh(request.session_hash))
        self._written(one, fidelity)
        return gr.Image(str(one.job.photo), visible=True), list(map(str, one.job.outputs))

    def _written(self, item, fidelity):
        """The Part and the outputs of an Item of one face, whose files are written."""
        fidelity = number_in(fidelity, 0, 1, "Fidelity")
        [(item, [output])] = self._faces(fidelity).enlarge([item])
        from srez.photo.output import write_results

        with gone(item.job.source.name):
            write_results(item, [output])
        return item.parts[0], output


def _in_words(photo, part, result, levels):
    """What was done, how true it is, and how much is invented."""
    lines = [photo.words]
    if part.tip:
        lines.append(f"**{part.tip}**")
    lines.append(trueness([averages_back(result, part.known)]))
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


def _overlay(result, faithful, plausible):
    """(a result uint8 [H, W, 3] with the invented marked, how many of 255 levels are invented)."""
    from srez.photo.compare import INVENTED_GAIN, invented

    gap = invented(faithful, plausible)
    share = np.clip(INVENTED_GAIN * gap, 0.0, 1.0)
    marked = (1 - share) * result / np.float32(255.0) + share * MARK
    return _magnified(marked), 255 * float(gap.mean())


def _magnified(image):
    """An image as uint8, its pixels repeated for the eye."""
    times = max(RESULT_SIDE // max(image.shape[:2]), 1)
    return to_uint8(image).repeat(times, axis=0).repeat(times, axis=1)


def _picture(label, name, **about):
    """A component that shows a picture, nothing to be shared elsewhere."""
    buttons = ["download", "fullscreen"]
    about = {"format": "png", "interactive": False, "buttons": buttons, "min_width": 280} | about
    return gr.Image(label=label, elem_id=name, **about)
