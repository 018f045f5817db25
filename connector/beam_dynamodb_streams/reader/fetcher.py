"""Requests in flight: a few threads wait for the network while the reader's own thread decodes and emits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol

from beam_dynamodb_streams.reader.requests import Answer, Request


class Fetcher(Protocol):
    """Takes requests and returns answers, in any order. All calls come from the reader's thread."""

    def submit(self, request: Request) -> None: ...
    def take(self, timeout: float) -> Answer | None:
        """Return the next answer, or None after `timeout` seconds of the reader's clock."""

    def close(self) -> None: ...


class ThreadedFetcher:
    """Runs `perform` on up to `threads` daemon threads, started as they are needed.

    They are daemons, because a socket that hangs must not delay the bundle or the exit of a worker.
    """

    def __init__(self, perform: Callable[[Request], Answer], *, threads: int) -> None:
        self._perform = perform
        self._limit = threads
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        # Not a SimpleQueue: if the timeout passes during a spurious wake-up, CPython (3.11 to 3.13) computes a negative
        # rest, takes it for no limit and waits forever.
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._unanswered = 0

    def submit(self, request: Request) -> None:
        self._unanswered += 1
        if self._unanswered > len(self._threads) < self._limit:
            thread = threading.Thread(target=self._work, name=f"dynamodb-streams-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._requests.put(request)

    def take(self, timeout: float) -> Answer | None:
        try:
            answer = self._answers.get(timeout=timeout) if timeout > 0 else self._answers.get_nowait()
        except queue.Empty:
            return None
        self._unanswered -= 1
        return answer

    def close(self) -> None:
        for _ in self._threads:
            self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            self._answers.put(self._perform(request))
