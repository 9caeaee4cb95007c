"""A small HTTP server of metrics, for processes that serve nothing else."""

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jangbu.platform.telemetry.metrics import CONTENT_TYPE, Metrics


def server_of(metrics: Metrics, listener: socket.socket) -> ThreadingHTTPServer:
    """A server on a bound socket that answers `/metrics` and `/health/live`, not yet running."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # seconds for a client that says nothing

        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE, metrics.exposition())
                case "/health/live":
                    self._answer(200, "application/json", b'{"status":"live"}')
                case _:
                    self._answer(404, "text/plain", b"There is /metrics and /health/live.")

        def log_message(self, *_: object) -> None:
            """Who looks at metrics is in no log."""

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(listener.getsockname()[:2], Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_address = listener.getsockname()
    server.server_port = listener.getsockname()[1]
    server.server_activate()
    return server
