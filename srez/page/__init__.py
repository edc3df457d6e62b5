"""What the page needs of the environment, before Gradio is imported."""

import os

import srez

# Gradio has forty variables: they share the page with the world, open folders to all, move it to
# another port. What srez wants of it is said in server.py.
srez.settle("GRADIO_", ANALYTICS_ENABLED="False")
srez.settle("HF_HUB_", OFFLINE="1")
# Gradio asks its server whether it is there, and that is all it asks: no proxy and no TLS.
os.environ |= {"NO_PROXY": "*", "no_proxy": "*"}
srez.settle("SSL")
