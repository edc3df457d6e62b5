import pytest

from srez.data.source import open_source


@pytest.fixture(scope="package")
def source(faces):
    """The source of the drawn faces."""
    return open_source(faces)
