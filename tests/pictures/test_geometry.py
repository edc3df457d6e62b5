import numpy as np

from srez.pictures.geometry import celeba_box, centre_square


def test_centre_square_keeps_the_middle():
    wide = np.arange(21).reshape(3, 7, 1)
    tall = wide.swapaxes(0, 1)
    assert (centre_square(wide) == wide[:, 2:5]).all()
    assert (centre_square(tall) == tall[2:5]).all()


def test_the_celeba_box_is_the_original_one():
    image = np.zeros((218, 178, 3))
    image[60:188, 25:153] = 1.0
    assert celeba_box(image).shape == (128, 128, 3)
    assert celeba_box(image).all()
