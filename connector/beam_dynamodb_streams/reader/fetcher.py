"""Requests in flight: a few threads wait for the network while the reader's own thread decodes and emits."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from beam_dynamodb_streams.reader.requests import Answer, Request

_NEAR_SECONDS: Final = 0.001
_PATIENCE_SECONDS: Final = 0.005
_RECENT: Final = 16


class Fetcher(Protocol):
    """Takes requests and returns answers, in any order. All calls come from the reader's thread."""

    def submit(self, request: Request) -> None: ...
    def take(self, timeout: float) -> Answer | None:
        """Return the next answer, or None after `timeout` seconds of the reader's clock."""

    def close(self) -> None: ...


class ThreadedFetcher:
    """Runs `perform` on up to `threads` daemon threads, started as they are needed.

    Each request has a thread of its own, unless the endpoint is near: one of the last calls took less than a
    millisecond. There one thread gets more done than several that take turns at the interpreter, so a second one helps
    only if nothing was answered for five.

    They are daemons, because a socket that hangs must not delay the bundle or the exit of a worker.
    """

    def __init__(self, perform: Callable[[Request], Answer], *, threads: int) -> None:
        self._perform = perform
        self._limit = threads
        self._lock = threading.Lock()
        self._waiting: deque[Request] = deque()
        self._working = 0
        self._taken = 0.0  # when a thread was last set to work, or took a request
        self._recent: deque[float] = deque([inf], maxlen=_RECENT)  # how long the last calls took, in seconds
        self._threads: list[threading.Thread] = []
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()  # each sets an idle thread to work, or ends it
        # Not a SimpleQueue: if the timeout passes during a spurious wake-up, CPython (3.11 to 3.13) computes a negative
        # rest, takes it for no limit and waits forever.
        self._answers: queue.Queue[Answer] = queue.Queue()

    def submit(self, request: Request) -> None:
        with self._lock:
            self._waiting.append(request)
            is_near = self._working > 0 and min(self._recent) < _NEAR_SECONDS
            if is_near and time.monotonic() - self._taken < _PATIENCE_SECONDS:
                return
        self._call(1)

    def take(self, timeout: float) -> Answer | None:
        while True:
            wait = min(timeout, _PATIENCE_SECONDS) if self._waiting and self._working < self._limit else timeout
            try:
                return self._answers.get(timeout=wait) if wait > 0 else self._answers.get_nowait()
            except queue.Empty:
                timeout -= wait
                if timeout <= 0:
                    return None
            self._call(len(self._waiting))

    def close(self) -> None:
        for _ in self._threads:
            self._calls.put(False)

    def _call(self, count: int) -> None:
        """Set up to `count` more threads to work."""
        with self._lock:
            count = min(count, self._limit - self._working)
            self._working += count
            self._taken = time.monotonic()
            missing = self._working - len(self._threads)
        for _ in range(missing):
            thread = threading.Thread(target=self._work, name=f"dynamodb-streams-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in range(count):
            self._calls.put(True)

    def _work(self) -> None:
        while self._calls.get():
            while (request := self._next()) is not None:
                began = time.monotonic()
                answer = self._perform(request)
                with self._lock:
                    self._recent.append(time.monotonic() - began)
                self._answers.put(answer)

    def _next(self) -> Request | None:
        """Return the request that has waited longest; None if there is none, and the thread is idle then."""
        with self._lock:
            if not self._waiting:
                self._working -= 1
                return None
            self._taken = time.monotonic()
            return self._waiting.popleft()
