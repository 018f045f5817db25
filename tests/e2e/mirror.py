"""A sink that simply upserts in the order of delivery, as a mirror of the table in this process, and its laws."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, ClassVar

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord


class Mirror(beam.DoFn):
    """Keeps the latest image of each key in a dict of this process, and notes each time that an `n` goes back.

    The writer of the table gives every write a greater `n`. `epochs` has the snapshot that each key was last seen in.
    """

    mirrors: ClassVar[dict[str, dict[str, Any]]] = {}
    newest: ClassVar[dict[str, dict[str, int]]] = {}
    backwards: ClassVar[dict[str, list[str]]] = {}
    counts: ClassVar[dict[str, Counter[str]]] = {}
    epochs: ClassVar[dict[str, dict[str, str]]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str) -> None:
        self._name = name

    @classmethod
    def begin(cls, name: str) -> None:
        cls.mirrors[name], cls.newest[name], cls.backwards[name], cls.counts[name] = {}, {}, [], Counter()
        cls.epochs[name] = {}

    def process(self, change: ChangeRecord) -> None:
        key = change.keys["id"]
        image = change.new_image if change.event_name != "REMOVE" else None
        written = image if image is not None else change.old_image or {}
        number = int(written.get("n", -1)) * 2 + (image is None)
        with self.lock:
            self.counts[self._name][change.event_name] += 1
            newest = self.newest[self._name]
            if number < newest.get(key, -1):
                self.backwards[self._name].append(f"{key}: {newest[key]} -> {number} by {change!r}")
            newest[key] = max(number, newest.get(key, -1))
            self.epochs[self._name][key] = change.version[:13]
            if image is None:
                self.mirrors[self._name].pop(key, None)
            else:
                self.mirrors[self._name][key] = image
