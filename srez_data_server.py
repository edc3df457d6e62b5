"""A process of a tf.data service: python3 srez_data_server.py PORT [DISPATCHER].

With the address host:port of a DISPATCHER it is a worker of it, else a dispatcher. PORT 0 takes any
free one. It ends by a signal.
"""

import os
import re
import signal
import socket
import sys


def serve(port, dispatcher=None):
    """Serves on `port` until a signal comes: as a dispatcher, or a worker of `dispatcher`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    service = tf.data.experimental.service
    if dispatcher is None:
        server = service.DispatchServer(service.DispatcherConfig(port=port))
    else:
        is_local = dispatcher.startswith("localhost:")
        host = "localhost" if is_local else socket.gethostname()
        server = service.WorkerServer(
            service.WorkerConfig(dispatcher, worker_address=f"{host}:%port%", port=port)
        )
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would wait for the join
    server.join()


def main(argv):
    """Runs what the command line says; returns 2 if it is bad."""
    words = argv[1:]
    if len(words) not in (1, 2) or not re.fullmatch(r"\d{1,5}", words[0]):
        print("srez: expected PORT or PORT DISPATCHER, not", *words, file=sys.stderr)
        return 2
    return serve(int(words[0]), *words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
