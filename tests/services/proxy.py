"""A TCP proxy between a client and a real server that adds latency and breaks connections on demand."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Proxy:
    """Forwards to a loopback port.

    Attributes:
        port: where clients connect.
        latency_s: pause before each request is forwarded (a request starts with the first bytes after an answer), in
            seconds.
        cuts: how many more connections are cut; each after `cut_after` bytes.
        cut_after: bytes of either direction that pass before a cut.
        connections: how many were accepted.
        requests: first lines of the HTTP requests that passed.
    """

    def __init__(self, target: int, latency_s: float = 0.0) -> None:
        self.target, self.latency_s = target, latency_s
        self.cuts, self.cut_after, self.connections, self.port = 0, 0, 0, 0
        self.requests: list[str] = []
        self._loop = asyncio.new_event_loop()

    @classmethod
    @contextlib.contextmanager
    def to(cls, target: int, latency_s: float = 0.0) -> Iterator[Proxy]:
        """Run a proxy in a thread."""
        proxy = cls(target, latency_s)
        ready = threading.Event()
        thread = threading.Thread(target=proxy._serve, args=(ready,), daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield proxy
        finally:
            proxy._loop.call_soon_threadsafe(proxy._loop.stop)
            thread.join(10)

    def break_next(self, count: int, after: int) -> None:
        """Cut the next `count` connections that carry more than `after` bytes in one direction."""
        self.cut_after, self.cuts = after, count

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0, limit=1 << 20))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 20)
        except OSError:
            writer.close()
            return
        state = {"answered": True}
        ends = (writer, there_writer)
        await asyncio.gather(
            self._pump(reader, there_writer, ends, state, request=True),
            self._pump(there_reader, writer, ends, state, request=False),
        )

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        state: dict[str, bool],
        *,
        request: bool,
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                if request and state["answered"]:
                    state["answered"], passed = False, 0
                    line = data.split(b"\r\n", 1)[0].decode(errors="replace")
                    if line.endswith(" HTTP/1.1"):  # not a body that had to wait for "100 Continue"
                        self.requests.append(line)
                    if self.latency_s:
                        await asyncio.sleep(self.latency_s)
                elif not request and not state["answered"]:
                    state["answered"], passed = True, 0
                passed += len(data)
                if self.cuts and passed > self.cut_after:
                    self.cuts -= 1
                    for end in ends:
                        end.transport.abort()
                    return
                target.write(data)
                await target.drain()
        for end in ends:
            end.close()
