"""A server on loopback that answers as the tests say and remembers what it was asked; a clock."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass
class Request:
    """What the server was asked."""

    path: str
    body: bytes
    headers: Message
    method: str = "GET"

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form, the first value of each."""
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}

    @property
    def json(self) -> Any:
        """A JSON body."""
        return json.loads(self.body)


@dataclass
class Reply:
    """What it answers; ``cut`` sends half of the body, ``delay`` waits before."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    delay: float = 0.0


def json_reply(content: Any, **settings: Any) -> Reply:
    return Reply(json.dumps(content).encode(), **settings)


HTML = Reply(b"<!DOCTYPE html><html><body>maintenance</body></html>", kind="text/html")


class Loopback:
    """``url`` to ask; ``requests`` so far; ``faults`` are given out before any true answer."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.url = ""
        self.answer = answer
        self.requests: list[Request] = []
        self.faults: list[Reply] = []
        self.lock = threading.Lock()

    def reply(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            if self.faults:
                return self.faults.pop(0)
        return self.answer(request)


@contextmanager
def serving(answer: Callable[[Request], Reply]) -> Iterator[Loopback]:
    """A running server, stopped at the end."""
    loopback = Loopback(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self.path, self.rfile.read(length), self.headers, method=self.command)
            reply = loopback.reply(request)
            time.sleep(reply.delay)
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            sent = 0 if self.command == "HEAD" else len(reply.body) // (2 if reply.cut else 1)
            self.wfile.write(reply.body[:sent])
            self.close_connection = self.close_connection or reply.cut

        do_GET = do_POST = do_HEAD = _do

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # the client went away
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class FakeClock:
    """Seconds go by where somebody sleeps; ``starts`` are the ends of all sleeps so far."""

    now: float = 100.0
    late: float = 0.0  # every sleeper wakes so many seconds late
    starts: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        with self.lock:
            self.now += seconds + self.late
            self.starts.append(self.now)

    def most_in_a_second(self) -> int:
        """The greatest number of starts that any one second saw."""
        return max(sum(start <= one < start + 1 for one in self.starts) for start in self.starts)
