import srez  # noqa: F401, before Keras: it says which backend that takes
