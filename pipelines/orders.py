"""The changes that the demo writes: orders, from several threads, while the shards of the table split and roll."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from random import Random

from beam_dynamodb_streams.testing import Table

STATES = ("paid", "packed", "shipped", "delivered")


class Shop(threading.Thread):
    """A thread that places, updates, cancels and expires orders of its own until it has made `changes` changes."""

    def __init__(self, table: Table, number: int, changes: int) -> None:
        super().__init__(name=f"shop-{number}", daemon=True)
        self.made = 0
        self._table = table
        self._number = number
        self._changes = changes
        self._random = Random(number)  # noqa: S311 - the same orders every time
        self._open: list[str] = []

    def run(self) -> None:
        while self.made < self._changes:
            self._write()
            self.made += 1

    def _write(self) -> None:
        chance = self._random.random()
        if not self._open or chance < 0.4:
            self._open.append(f"order-{self._number}-{self.made}")
            self._table.put(self._order(self._open[-1]))
            return
        at = self._random.randrange(len(self._open))
        keys = {"id": self._open[at]}
        if chance < 0.8:
            self._table.update(keys, {"state": self._random.choice(STATES), "version": self.made})
            return
        self._open[at] = self._open[-1]
        self._open.pop()
        self._table.delete(keys, by="user" if chance < 0.93 else "ttl")

    def _order(self, order_id: str) -> dict[str, object]:
        cents = self._random.randrange(1, 100_000)
        return {
            "id": order_id,
            "customer": f"customer-{self._random.randrange(500)}",
            "total": Decimal(cents) / 100,
            "state": "new",
            "lines": [{"article": f"a-{n}", "pieces": n + 1} for n in range(self._random.randrange(1, 4))],
            "tags": {"gift", "priority"},
            "signature": self._random.randbytes(12),
            "note": None if cents % 2 else "bitte klingeln – 2. Stock 🔔",
            "expires": self._number + self.made,
        }


def write_orders(
    table: Table, changes: int, *, threads: int, turns: int, progress: Callable[[int], None], wait: float = 0.05
) -> None:
    """Make changes from several threads, and return once all are made.

    Args:
        table: the table.
        changes: how many changes are made.
        threads: how many threads make them.
        turns: how often a shard ends meanwhile, after equal parts of the work; by turns one splits and one rolls.
        progress: is called with the number of changes made so far.
        wait: the seconds between two of these calls.
    """
    shops = [Shop(table, number, (changes + number) // threads) for number in range(threads)]
    for shop in shops:
        shop.start()
    random = Random(threads)  # noqa: S311
    turn = 0
    while turn < turns or any(shop.is_alive() for shop in shops):
        made = sum(shop.made for shop in shops)
        if turn < turns and (made >= changes * (turn + 1) // (turns + 1) or made == changes):
            shard = random.choice(table.open_shard_ids)
            table.split(shard) if turn % 2 == 0 else table.roll(shard)
            turn += 1
            continue
        progress(made)
        shops[-1].join(wait)
    progress(changes)
