"""How far a run is: on a terminal in one line, which is rewritten once a second; elsewhere in a line now and then.

Nothing is shown for a read whose workers run elsewhere: their runner reports those.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from typing import Final, NamedTuple, TextIO

from beam_dynamodb_streams.commands.printable import printable
from beam_dynamodb_streams.commands.terminal import Terminal
from beam_dynamodb_streams.shards.frontier import EARLIEST
from beam_dynamodb_streams.shards.loss import MICROS, RETENTION_SECONDS
from beam_dynamodb_streams.shards.segments import seconds_left
from beam_dynamodb_streams.source.live_status import LiveStatus, watching

RATE_SECONDS: Final = 20.0
"""How many seconds a rate is measured over. The shards take turns, so what is covered moves in leaps."""
STARTING_SECONDS: Final = 3.0
"""A run that has reported nothing for that long says what it does."""
MIN_RATE_SECONDS: Final = 3.0
"""A rate over fewer seconds means nothing. A read without a record for that long counts as still."""
LOW_HEADROOM_SECONDS: Final = 6 * 3600
"""Below this the line shows how long it is until the oldest unread changes are trimmed."""


@contextmanager
def status_line(
    *, interval: float = 1.0, log_interval: float = 60.0, start: str = "starting", prog: str = ""
) -> Iterator[None]:
    """Show the line while the body runs, and remove it however the body ends. Without a terminal, print it at times.

    Args:
        interval: the seconds between two updates on a terminal.
        log_interval: the seconds between two lines elsewhere.
        start: what the run does before its read reports anything, such as reading exports.
        prog: the program, with which lines begin where there is no terminal.
    """
    status, ended, begun = StatusText(), threading.Event(), time.monotonic()

    def text() -> str:
        now = time.monotonic()
        said = status.update(watch.look(), now)
        return printable(
            said or (f"{start}, for {short_duration(now - begun)}" if now - begun >= STARTING_SECONDS else "")
        )

    if not sys.stderr.isatty():
        stderr = sys.stderr

        def report() -> None:
            while not ended.wait(log_interval):
                with suppress(OSError, ValueError):  # nobody reads it any more
                    stderr.write(f"{prog}: {text()}\n" if prog else f"{text()}\n")
                    stderr.flush()

        with watching() as watch:
            threading.Thread(target=report, name="status lines", daemon=True).start()
            try:
                yield
            finally:
                ended.set()
        return
    terminal = Terminal(sys.stderr)

    def refresh() -> None:
        while not ended.wait(interval):
            terminal.show(text())

    with watching() as watch, _redirected(terminal, sys.stderr):
        threading.Thread(target=refresh, name="status line", daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            terminal.close()


def start_text(start: object, exports: object = None, snapshot: object = None) -> str:
    """Return what a run does before its read reports anything, from the options of the command."""
    if exports:
        return "reading the exports"
    if isinstance(start, str) and start.startswith("kcl://"):
        return f"taking over from {start}"
    if snapshot:
        return "reading the exports of the snapshot" if snapshot not in ("scan", ["scan"]) else "beginning the scan"
    return "starting"


@contextmanager
def _redirected(terminal: Terminal, stderr: TextIO) -> Iterator[None]:
    """Send what is written and logged to stderr through the terminal."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    on_stderr = [handler for handler in handlers if handler.stream is stderr]
    for handler in on_stderr:
        handler.setStream(terminal)
    try:
        beside = redirect_stdout(terminal.beside(sys.stdout)) if sys.stdout.isatty() else nullcontext()
        with redirect_stderr(terminal), beside:
            yield
    finally:
        for handler in on_stderr:
            handler.setStream(stderr)


class _Sample(NamedTuple):
    now: float
    records: int
    covered: float | None


class StatusText:
    """The text of the line. It is updated with the state of the reads and the time, in seconds of any steady clock."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._moved = 0.0
        self._lag: float | None = None

    def update(self, reads: Sequence[LiveStatus], now: float) -> str:
        """Return the text now, in ASCII, the most important first. It is empty while no read has reported."""
        if not reads:
            return ""
        records = sum(read.records for read in reads)
        if all(read.frontier.closed for read in reads):
            return f"{records:,} records, all read: writing what is left"
        covered = covered_by(reads)
        if not self._samples or self._samples[-1].records != records:
            self._moved = now
        self._lag = max((read.lag for read in reads if read.lag is not None), default=self._lag)
        self._samples.append(_Sample(now, records, covered))
        while now - self._samples[0].now > RATE_SECONDS:
            self._samples.popleft()
        return ", ".join([f"{records:,} records", *self._pace(reads, now), *_state(reads, covered)])

    def _pace(self, reads: Sequence[LiveStatus], now: float) -> Iterator[str]:
        first, last = self._samples[0], self._samples[-1]
        still = now - self._moved
        rate = (last.records - first.records) / (now - first.now) if now - first.now >= MIN_RATE_SECONDS else None
        if rate is not None and still < MIN_RATE_SECONDS:
            yield f"{rate:,.0f}/s"
        left = self._left(reads, rate, still=still >= MIN_RATE_SECONDS)
        if left is not None and left >= 1:
            yield f"about {short_duration(left)} left"
        if still >= MIN_RATE_SECONDS:
            yield f"nothing new for {short_duration(still)}"
        elif self._lag is not None:
            yield f"lag {short_duration(self._lag)}"

    def _left(self, reads: Sequence[LiveStatus], rate: float | None, *, still: bool) -> float | None:
        """Return the seconds that are left, or None while that cannot be estimated.

        The estimate follows from the pace at which the requested number of records arrives, or the creation times up to
        the stop. Past the stop, a read that gets nothing waits for proof that nothing is left, which has no pace.
        """
        limits = [read.read.records for read in reads if read.read.records is not None]
        if limits:
            return (sum(limits) - self._samples[-1].records) / rate if rate and not still else None
        stops = [read.read.stop for read in reads if read.read.stop is not None]
        known = [sample for sample in self._samples if sample.covered is not None]
        if not stops or not known or known[-1] is not self._samples[-1]:
            return None
        to_wait = max(stops) - max(read.moment for read in reads)
        if still and to_wait <= 0:
            return None
        first, last = known[0], known[-1]
        assert first.covered is not None and last.covered is not None  # noqa: S101, PT018 - narrows the type
        passed, gained, missing = last.now - first.now, last.covered - first.covered, max(stops) - last.covered
        if passed < MIN_RATE_SECONDS or gained <= 0 or missing <= 0:
            return None
        return max(missing * passed / gained, to_wait)


def covered_by(reads: Sequence[LiveStatus]) -> float | None:
    """Return the creation time up to which all is read, in seconds, or None while a shard's is unknown."""
    unread = [read.frontier.watermark for read in reads if not read.frontier.closed]
    return None if EARLIEST in unread else min(unread) / MICROS


def _snapshot(reads: Sequence[LiveStatus]) -> Iterator[str]:
    for read in reads:
        scan = read.frontier.scan
        if scan is not None and not scan.complete:
            left = seconds_left(scan, read.moment)
            yield f"snapshot {scan.fraction:.0%}" + (f" (about {short_duration(left)} left)" if left else "")


def _state(reads: Sequence[LiveStatus], covered: float | None) -> Iterator[str]:
    yield from _snapshot(reads)
    shards = sum(len(read.frontier.open_shards) for read in reads)
    yield f"{shards:,} shard{'' if shards == 1 else 's'} open"
    yield f"{sum(read.finished for read in reads):,} done"
    if covered is not None:
        headroom = RETENTION_SECONDS - (max(read.moment for read in reads) - covered)
        if headroom < LOW_HEADROOM_SECONDS:
            yield f"headroom {short_duration(max(0.0, headroom))}"


def short_duration(seconds: float) -> str:
    """Return a duration in the form that `--stop` takes, in at most two units."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m"
