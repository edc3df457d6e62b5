"""Trains the cleaner in the box, of srez.photo.prepare, on a few cores.

python3 -m bench.weights.cleaner faces DATASET FILE: makes the training faces of DATASET smaller and
worse, as bench.weights.small_faces does, enlarges them by the weights in the box, and keeps of each
what is seen, what the network made and how it would be without fault, in FILE, a .npz.
python3 -m bench.weights.cleaner train FILE BATCHES: trains, and puts the weights into the box. If
there are some already, it goes on from them.
"""

import math
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from bench.shared import split_of
from bench.weights.box import save_rounded, write_sums
from bench.weights.small_faces import small_face
from srez.console import say
from srez.modern import MAX_DECAY, WARM_UP, FallingRates
from srez.options import Options
from srez.photo.prepare import CLEANER, build_cleaner, cleaner_input
from srez.pictures.geometry import resized, shrink
from srez.pictures.image import to_uint8
from srez.pictures.pairs import load_pictures
from srez.run.weights import BOX_SIZES, choose_weights
from srez_model import SCALE

FACES, AT_ONCE = 6000, 64  # so many faces are enough for one that sees small squares of them
SMALL = 0.12  # so many are enlarged to 64 pixels, the others to 128
PLAIN = 0.08  # so many by bicubic interpolation, as by a network that has learned little yet
CROPS, PIXELS = (24, 40, 64), 16 * 64**2  # sides of what a batch takes of faces; pixels in it
RATE, BETAS = 6e-4, (0.9, 0.99)  # Adam's
KEPT = 1.2 / 255  # fewer faults, on the average, are none: kernels differ by that, all are right
VISIBLE = 1 / 255  # what is less is no matter
PERIOD = 500  # batches between two lines and savings


def main(what, *arguments):
    """Makes faces or trains."""
    {"faces": make_faces, "train": train}[what](*arguments)


def make_faces(dataset, path):
    """Writes FILE: uint8 pixels [n, 3, 3] of all faces (seen, made, truth), and their sides."""
    source, split = split_of(Options(dataset=dataset))
    networks = {
        (size, fidelity, consistent): tf.function(
            choose_weights("", "shipped", size).generator(fidelity, consistent),
            reduce_retracing=True,
        )
        for size in BOX_SIZES
        for fidelity in (0.0, 1.0)
        for consistent in ("on", "off")
    }
    chosen = np.random.default_rng(0).permutation(split.train)[:FACES]
    pixels, sides = [], []
    for at in range(0, len(chosen), AT_ONCE):
        numbers = chosen[at : at + AT_ONCE]
        for seen, made, truth in _made(
            load_pictures(source, numbers, BOX_SIZES[-1])[2], at, networks
        ):
            pixels.append(np.stack([seen, made, truth], axis=2).reshape(-1, 3, 3))
            sides.append(len(seen))
        say(f"{len(sides)} of {len(chosen)} faces")
    np.savez(path, pixels=np.concatenate(pixels), sides=sides)


def _made(faces, first, networks):
    """Yields (seen, made, truth), uint8 [s, s, 3] each, of faces [N, 128, 128, 3]."""
    kinds = {}
    for number, face in enumerate(faces, first):
        draw = np.random.default_rng(number)
        size = BOX_SIZES[draw.random() >= SMALL]
        face, inputs = np.asarray(shrink(face[None], size))[0], size // SCALE
        seen, truth, is_clean = small_face(face, inputs + 1, draw)
        low_res = np.asarray(shrink(seen[None] / np.float32(255), inputs))[0]
        kind = size, float(draw.integers(2)), "on" if is_clean else "off"
        kinds.setdefault(kind, []).append((seen, truth, low_res, draw.random() < PLAIN))
    for kind, group in kinds.items():
        outputs = networks[kind](np.stack([low_res for _, _, low_res, _ in group])).numpy()
        for (seen, truth, low_res, is_plain), output in zip(group, outputs, strict=True):
            output = resized(low_res, len(output)) if is_plain else output
            yield seen, to_uint8(resized(output, len(seen))), truth


def train(path, batches):
    """Trains the cleaner and writes the average of its weights into the box.

    The loss is the negative PSNR of each square, so that a nearly clean one counts as much as a bad
    one.
    """
    batches, squares = int(batches), Squares(path)
    cleaner, average = build_cleaner("bfloat16"), build_cleaner()
    if CLEANER.exists():
        cleaner.load_weights(CLEANER)
    optimizer = keras.optimizers.Adam(FallingRates((RATE,), (batches,)), *BETAS, epsilon=1e-8)
    optimizer.build(cleaner.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(inputs, truth, decay):
        with tf.GradientTape() as tape:
            squares = tf.square(cleaner(inputs, training=True) - truth)
            errors = tf.reduce_mean(squares, axis=(1, 2, 3)) + VISIBLE**2
            loss = tf.reduce_mean(tf.math.log(errors))
        optimizer.apply(tape.gradient(loss, cleaner.trainable_variables))
        for mean, variable in zip(average.variables, cleaner.variables, strict=True):
            mean.assign_sub((1 - decay) * (mean - variable))
        before = tf.reduce_mean(tf.square(inputs[..., :3] - truth), axis=(1, 2, 3)) + VISIBLE**2
        return 10 / math.log(10) * tf.reduce_mean(tf.math.log(before / errors))

    draw, start, gains = np.random.default_rng(0), time.monotonic(), []
    for batch in range(batches):
        decay = min(MAX_DECAY, batch / (batch + WARM_UP))
        gains.append(step(*squares.batch(draw), tf.constant(decay)))
        if (batch + 1) % PERIOD == 0 or batch + 1 == batches:
            gain = np.mean(gains)
            seconds = time.monotonic() - start
            say(f"{batch + 1} batches, {seconds:.0f} s: a gain of {gain:.2f} dB")
            gains = []
            save_rounded(average, CLEANER)
    write_sums()


class Squares:
    """The faces of FILE, of which a batch takes squares."""

    def __init__(self, path):
        with np.load(path) as arrays:
            pixels, self.sides = arrays["pixels"], arrays["sides"]
        faces = np.split(pixels, np.cumsum(self.sides**2)[:-1])
        shapes = zip(faces, self.sides, strict=True)
        self._faces = [np.moveaxis(face.reshape(side, side, 3, 3), 2, 0) for face, side in shapes]
        for seen, _, truth in self._faces:
            if np.abs(seen.astype(np.float32) - truth).mean() < 255 * KEPT:
                truth[:] = seen

    def batch(self, draw):
        """(the cleaner's inputs, truth) of squares of faces, float32 in [0, 1]."""
        crop = draw.choice(CROPS)
        fitting = np.flatnonzero(self.sides >= crop)
        odds = self.sides[fitting] ** 2 / np.sum(self.sides[fitting] ** 2)
        numbers = draw.choice(fitting, PIXELS // crop**2, p=odds)
        inputs, truths = zip(*(self._square(number, crop, draw) for number in numbers), strict=True)
        return tf.constant(np.stack(inputs)), tf.constant(np.stack(truths))

    def _square(self, number, crop, draw):
        face = self._faces[number]
        top, left = draw.integers(0, self.sides[number] - crop + 1, 2)
        face = face[:, top : top + crop, left : left + crop] / np.float32(255)
        seen, made, truth = face[:, :, :: draw.choice([-1, 1])]
        return cleaner_input(seen, made, self.sides[number]), truth


if __name__ == "__main__":
    main(*sys.argv[1:])
