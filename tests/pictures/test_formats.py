from PIL import Image, ImageCms

from srez.pictures.formats import is_plain_celeba_jpeg
from tests.odd_files import encoded, turned


def test_a_profile_or_exif_makes_a_celeba_jpeg_no_plain_one():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (178, 218))
    assert is_plain_celeba_jpeg(encoded(image))
    assert not is_plain_celeba_jpeg(encoded(image, icc_profile=profile))
    assert not is_plain_celeba_jpeg(turned(3))
