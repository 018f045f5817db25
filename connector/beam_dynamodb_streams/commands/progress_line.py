"""How a run gets on, on one line of the terminal, rewritten once a second while it runs.

Nothing is shown where stderr is no terminal, nor of a read whose workers run elsewhere: their runner tells of those.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Final, NamedTuple, TextIO

from beam_dynamodb_streams.shards.frontier import EARLIEST
from beam_dynamodb_streams.shards.loss import MICROS, RETENTION_SECONDS
from beam_dynamodb_streams.source.live_status import Standing, watching

#: Rates are of so many seconds: the shards take turns, so what is covered moves in leaps.
WINDOW: Final = 20.0
#: A rate of fewer seconds says nothing.
ENOUGH: Final = 3.0
#: Below so many seconds, that the oldest unread changes are soon trimmed is worth a word.
SCARCE: Final = 6 * 3600


@contextmanager
def progress_line(*, interval: float = 1.0) -> Iterator[None]:
    """Shows the line for as long as it is inside, and leaves nothing of it behind, whatever ends it.

    ``interval``: seconds from one look to the next.
    """
    if not sys.stderr.isatty():
        yield
        return
    terminal, account, ended = Terminal(sys.stderr), Account(), threading.Event()

    def refresh() -> None:
        while not ended.wait(interval):
            terminal.show(account.of(watch.look(), time.monotonic()))

    with watching() as watch, _all_to(terminal, sys.stderr):
        threading.Thread(target=refresh, name="progress line", daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            terminal.close()


@contextmanager
def _all_to(terminal: Terminal, stderr: TextIO) -> Iterator[None]:
    """What is written to stderr, and logged to it, goes through the terminal."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    logging_to_it = [handler for handler in handlers if handler.stream is stderr]
    for handler in logging_to_it:
        handler.setStream(terminal)
    try:
        with redirect_stderr(terminal):
            yield
    finally:
        for handler in logging_to_it:
            handler.setStream(stderr)


class _Look(NamedTuple):
    now: float
    records: int
    covered: float | None


class Account:
    """What is known of a run, in words. Pure: the clock's ``now`` is given with each look."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()
        self._moved = 0.0
        self._lag: float | None = None

    def of(self, reads: Sequence[Standing], now: float) -> str:
        """ASCII, the most important first; empty while no read is heard of."""
        if not reads:
            return ""
        records = sum(read.records for read in reads)
        if all(read.frontier.closed for read in reads):
            return f"{records:,} records, all read: writing what is left"
        covered = covered_by(reads)
        if not self._looks or self._looks[-1].records != records:
            self._moved = now
        self._lag = max((read.lag for read in reads if read.lag is not None), default=self._lag)
        self._looks.append(_Look(now, records, covered))
        while now - self._looks[0].now > WINDOW:
            self._looks.popleft()
        return ", ".join([f"{records:,} records", *self._pace(reads, now), *_state(reads, covered)])

    def _pace(self, reads: Sequence[Standing], now: float) -> Iterator[str]:
        first, last = self._looks[0], self._looks[-1]
        still = now - self._moved
        rate = (last.records - first.records) / (now - first.now) if now - first.now >= ENOUGH else None
        if rate is not None and still < ENOUGH:
            yield f"{rate:,.0f}/s"
        left = self._left(reads, rate, still=still >= ENOUGH)
        if left is not None and left >= 1:
            yield f"about {length(left)} left"
        if still >= ENOUGH:
            yield f"nothing new for {length(still)}"
        elif self._lag is not None:
            yield f"lag {length(self._lag)}"

    def _left(self, reads: Sequence[Standing], rate: float | None, *, still: bool) -> float | None:
        """Seconds, where the records that are asked for, or the creation times up to the stop, come at some pace.

        Past the stop, a read that gets nothing waits for proof that nothing is left, which has no pace.
        """
        limits = [read.read.records for read in reads if read.read.records is not None]
        if limits:
            return (sum(limits) - self._looks[-1].records) / rate if rate and not still else None
        stops = [read.read.stop for read in reads if read.read.stop is not None]
        known = [look for look in self._looks if look.covered is not None]
        if not stops or not known or known[-1] is not self._looks[-1]:
            return None
        to_wait = max(stops) - max(read.moment for read in reads)
        if still and to_wait <= 0:
            return None
        first, last = known[0], known[-1]
        assert first.covered is not None and last.covered is not None  # noqa: S101, PT018 - narrows the type
        passed, gained, missing = last.now - first.now, last.covered - first.covered, max(stops) - last.covered
        if passed < ENOUGH or gained <= 0 or missing <= 0:
            return None
        return max(missing * passed / gained, to_wait)


def covered_by(reads: Sequence[Standing]) -> float | None:
    """Up to which creation time all is read, in seconds; None while that is unknown of a shard."""
    unread = [read.frontier.watermark for read in reads if not read.frontier.closed]
    return None if EARLIEST in unread else min(unread) / MICROS


def _state(reads: Sequence[Standing], covered: float | None) -> Iterator[str]:
    shards = sum(len(read.frontier.open_shards) for read in reads)
    yield f"{shards:,} shard{'' if shards == 1 else 's'} open"
    yield f"{sum(read.finished for read in reads):,} done"
    if covered is not None:
        headroom = RETENTION_SECONDS - (max(read.moment for read in reads) - covered)
        if headroom < SCARCE:
            yield f"headroom {length(max(0.0, headroom))}"


def length(seconds: float) -> str:
    """As ``--stop`` takes it, in two units at most."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m"


class Terminal(io.TextIOBase):
    """A stream with a last line that is rewritten; what else is written to it goes above that line. Thread-safe.

    Carriage returns and spaces only, so it needs nothing of the terminal. On a stream that is none, no line is shown.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()  # a finalizer may warn while its thread holds it
        self._shown = ""
        self._midway = False
        self._silent = not stream.isatty()

    def show(self, text: str) -> None:
        """``text`` is what the last line says from now on, as far as it is wide."""
        with self._lock:
            if not self._silent and not self._midway:
                self._draw(text[: self._width() - 1])

    def write(self, text: str) -> int:
        with self._lock:
            self._draw("")
            self._midway = not text.endswith("\n") if text else self._midway
            return self._stream.write(text)

    def close(self) -> None:
        """Takes the line away, and shows none from now on; the stream stays open."""
        with self._lock:
            self._draw("")
            self._silent = True

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def _draw(self, text: str) -> None:
        if text == self._shown:
            return
        blank = " " * (len(self._shown) - len(text))
        with suppress(OSError):  # the terminal has gone, which is no reason for the run to end
            self._stream.write(f"\r{text}{blank}" + ("" if text else "\r"))
            self._stream.flush()
        self._shown = text

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except OSError:
            return 80
