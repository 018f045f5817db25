"""What notebooks show of samples, records, positions and lineages: escaped, and not too long."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from beam_dynamodb_streams import ChangeRecord, Sample, StreamPosition
from beam_dynamodb_streams.display import readable, short

SCRIPT = "<script>alert('x')</script>"


class Shown(HTMLParser):
    """The cells of each row, and the tags that were met."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.text = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        self._in_cell = tag in ("td", "th")
        if self._in_cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data


def change(number: int = 0, **given: Any) -> ChangeRecord:
    fields: dict[str, Any] = {
        "event_id": f"e-{number}",
        "event_name": "MODIFY",
        "keys": {"id": f"o-{number}"},
        "new_image": {"id": f"o-{number}", "note": SCRIPT, "n": 2},
        "old_image": {"id": f"o-{number}", "note": SCRIPT, "n": 1, "gone": True},
        "sequence_number": f"{10**21 + number}",
        "shard_id": "shardId-00000001",
        "approximate_creation_time": datetime(2026, 1, 1, 12, tzinfo=timezone.utc),
        **given,
    }
    return ChangeRecord(**fields)


def test_a_record_shows_old_and_new_side_by_side_and_marks_what_changed() -> None:
    shown = Shown(change()._repr_html_())
    assert shown.rows[1:] == [
        ["id (key)", "o-0", "o-0", ""],
        ["note", SCRIPT, SCRIPT, ""],
        ["n", "1", "2", "●"],
        ["gone", "True", "", "●"],
    ]
    assert "script" not in shown.tags
    assert "MODIFY at 2026-01-01 12:00:00 UTC" in shown.text


def test_a_record_without_images_shows_its_keys() -> None:
    shown = Shown(change(new_image=None, old_image=None)._repr_html_())
    assert shown.rows[1:] == [["id (key)", "", "o-0", ""]]


def test_a_long_value_is_cut() -> None:
    assert len(change(new_image={"text": "x" * 100_000})._repr_html_()) < 3_000


def test_a_sample_shows_a_few_rows_and_how_many_more_there_are() -> None:
    shown = Shown(Sample("arn", tuple(change(number) for number in range(1_234)))._repr_html_())
    assert len(shown.rows) == 1 + 5
    assert "1,234 changes from 1 shard, 1,234 MODIFY" in shown.text
    assert "and 1,229 more" in shown.text
    assert "script" not in shown.tags
    assert "o-7" not in shown.text


def test_a_position_shows_its_shards_and_where_all_others_begin() -> None:
    position = StreamPosition("arn:x", shards={})
    for number in range(25):
        position = position.after(change(number, shard_id=f"shard-{number:02}"))
    shown = Shown(position._repr_html_())
    assert shown.rows[1] == ["shard-00", str(10**21)]
    assert len(shown.rows) == 1 + 20
    assert "5 more shards; all others from TRIM_HORIZON" in shown.text


def test_values_are_shown_with_plain_numbers_and_sets_in_order() -> None:
    value = {"n": Decimal("12.50"), "l": [Decimal("1E+3"), b"x", None, True], "s": {"b", "a"}, "huge": Decimal("1E+90")}
    assert readable(value) == "{'n': 12.50, 'l': [1000, b'x', None, True], 's': {'a', 'b'}, 'huge': 1E+90}"
    assert readable(set()) == "set()"
    assert short("x" * 90) == "x" * 79 + "…"
