"""A process of a tf.data service: python3 srez_data_server.py PORT [DISPATCHER].

Alone it is a dispatcher; with the address host:port of one it is a worker of it. A worker may take
PORT 0, any free one. It ends by a signal.
"""

import re
import signal
import socket
import sys

from srez_quiet import load_tensorflow


def serve(port, dispatcher=None):
    """Serves on `port` until a signal comes: as a dispatcher, or a worker of `dispatcher`.

    Raises:
        RuntimeError: the port is taken.
    """
    service = load_tensorflow().data.experimental.service
    if dispatcher is None:
        server = service.DispatchServer(service.DispatcherConfig(port=port))
    else:
        # The address under which trainers reach this worker.
        host = "localhost" if dispatcher.startswith("localhost:") else socket.gethostname()
        address = f"{host}:%port%"
        server = service.WorkerServer(
            service.WorkerConfig(dispatcher, worker_address=address, port=port)
        )
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would wait for the join
    server.join()


def main(argv):
    """Serves as the command line says; returns the exit status: 2 if it is bad, 1 if it can't."""
    words = argv[1:]
    typed = " ".join(words)
    if not re.fullmatch(r"\d{1,5}( \S+:\d{1,5})?", typed) or int(words[0]) >= 2**16:
        return _complain(f"expected PORT or PORT HOST:PORT, not {typed!r}", 2)
    try:
        serve(int(words[0]), *words[1:])
    except RuntimeError as error:
        return _complain(f"can't serve on port {words[0]}, take another one: {error}", 1)


def _complain(message, status):
    print("srez:", " ".join(str(message).split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
