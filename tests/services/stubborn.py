"""A server that takes requests and answers as a broken one does: never, a byte at a time, or at last with content."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from enum import Enum

#: Seconds between two bytes of a server that trickles: below any timeout that counts from byte to byte.
PAUSE_S = 0.02


class How(Enum):
    """What the server does with a request."""

    SILENT = "takes it and never answers"
    TRICKLING_HEAD = "sends a header that never ends"
    TRICKLING_BODY = "sends a body that takes for ever"
    GONE = "says that there is nothing"
    GIVING = "gives its content"


class StubbornServer:
    """One HTTP server on a free port of the loopback interface; `how` may change at any time."""

    def __init__(self, how: How, content: bytes = b"") -> None:
        self.how, self.content = how, content
        self.requests = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/message"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more requests and cut all connections."""
        for each in [self._socket, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.recv(65536)
            self.requests += 1
            if self.how is How.SILENT:
                return
            if self.how is How.TRICKLING_HEAD:
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
                self._trickle(connection)
            if self.how is How.TRICKLING_BODY:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
                self._trickle(connection)
            status = b"404 Not Found" if self.how is How.GONE else b"200 OK"
            head = b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(self.content))
            connection.sendall(head + self.content)

    def _trickle(self, connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            time.sleep(PAUSE_S)


@contextlib.contextmanager
def stubborn(how: How, content: bytes = b"") -> Iterator[StubbornServer]:
    """Run one."""
    server = StubbornServer(how, content)
    try:
        yield server
    finally:
        server.close()
