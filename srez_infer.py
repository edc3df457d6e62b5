"""Makes pictures four times as large with a trained generator.

A picture, or each one of a folder, is a job (srez.photo.jobs). Its faces are found (faces), brought
to the size that a network takes (prepare), enlarged, put back into the photo (align), and written
(output). Or the whole picture is enlarged, in tiles (tiles).
"""

from pathlib import Path

import numpy as np

from srez.console import complain, say
from srez.photo.faces import FACELESS_TIP, Faces, Item, NoFace, name_and_size
from srez.photo.jobs import earlier_results, list_jobs, say_left
from srez.photo.output import enlarge_all
from srez.photo.prepare import Part, looks_exact
from srez.photo.tiles import as_graph, upscale_tiled
from srez.pictures.formats import MAX_PIXELS
from srez.pictures.image import is_grey, is_lossless, kept_exif, read_with_alpha
from srez.run.weights import Networks
from srez_model import SCALE


def infer(options):
    """Enlarges the picture, or each one in the folder, that the options name.

    Writes to `infer_output`, by its suffix PNG, JPEG or WebP, and next to it a comparison of input,
    bicubic interpolation and result. With `faces` "auto" the faces in a photo are enlarged, each by
    itself, and put back into it; of a photo without one nothing is made. With `upscale_full` the
    whole picture is enlarged, `tile` pixels square at a time. With `invented` the comparison shows
    where the faithful and the plausible result differ.

    Raises:
        OSError: no checkpoint, no input, output over the input, no face in the photo, or some
            pictures of a folder could not be read; then these are named and the others written.
    """
    wants_faces = options.faces != "off" and not options.upscale_full
    jobs = list_jobs(options.infer_input, options.infer_output, wants_faces)
    if options.infer_skip_existing:
        jobs = [job for job in jobs if not job.comparison.exists()]  # it is written last
    if not jobs:
        say("Nothing to do: all are enlarged already.")
        return
    networks = Networks(options)
    networks.announce()
    enlarger = Wholes(networks, options.tile) if options.upscale_full else Faces(networks, options)
    earlier = earlier_results(jobs)
    failures = enlarge_all(jobs, enlarger)
    if failures and not Path(options.infer_input).is_dir():
        [failure] = failures
        if isinstance(failure, NoFace):
            raise OSError(f"{failure}: {FACELESS_TIP}")
        raise failure
    say_left(earlier)
    failures = [failure for failure in failures if not isinstance(failure, NoFace)]
    for failure in failures:
        complain(failure)
    if failures:
        raise OSError(f"{len(failures)} of {len(jobs)} pictures failed: see above")


class Wholes:
    """Enlarges whole pictures one by one, in tiles of `tile` pixels square."""

    at_once = 1

    def __init__(self, networks, tile):
        self.networks = networks
        self.size = networks.sizes[-1]
        self.tile = tile
        self._graphs = {}

    def read(self, job):
        """The Item of a job. Raises OSError: its picture can't be read, or is too large."""
        image, alpha = read_with_alpha(job.source)
        source = name_and_size(job.source, image)
        if image.shape[0] * image.shape[1] * SCALE**2 > MAX_PIXELS:
            raise OSError(
                f"{source}: enlarged, it would have more than {MAX_PIXELS:,} pixels: "
                "give a smaller picture, or do without --upscale_full"
            )
        low_res = image / np.float32(255.0)
        consistent = self.networks.consistent(
            self.size, lambda: is_lossless(job.source) and looks_exact(low_res)
        )
        box = 0, 0, image.shape[1], image.shape[0]
        part = Part(low_res, self.size, consistent, max(image.shape[:2]), box)
        exif = kept_exif(job.source)
        return Item([part], source, is_grey(image), [], alpha=alpha, exif=exif, job=job)

    def enlarge(self, items):
        """Yields each item with a list for its part: each network's result uint8 [4h, 4w, 3]."""
        margin = self.networks.weights(self.size).margin
        for item in items:
            [part] = item.parts
            if part.consistent not in self._graphs:
                networks = self.networks.of(self.size, part.consistent)
                self._graphs[part.consistent] = [as_graph(network) for network in networks]
            graphs = self._graphs[part.consistent]
            output = [upscale_tiled(graph, part.low_res, self.tile, margin) for graph in graphs]
            yield item.with_told(self.networks), [output]
