"""A lineage as a picture, for notebooks and `inspect --svg`."""

from __future__ import annotations

from xml.etree import ElementTree

from beam_dynamodb_streams.inspection.shard_tree import MOST_ROWS, boxes, svg
from beam_dynamodb_streams.shards.lineage import Lineage, Shard, created

SVG = "{http://www.w3.org/2000/svg}"


def test_leaves_have_a_row_each_and_a_parent_stands_between_its_children() -> None:
    drawn = {box.shard_id: (box.generation, box.row) for box in boxes(Lineage.draw({"a": "bc", "c": "de"}))}
    assert drawn == {"a": (0, 0.75), "b": (1, 0), "c": (1, 1.5), "d": (2, 1), "e": (2, 2)}


def test_the_child_of_a_merge_is_drawn_once_with_a_line_from_each_parent() -> None:
    lineage = Lineage.draw({"a": "c", "b": "c"})
    assert [box.shard_id for box in boxes(lineage)] == ["a", "c", "b"]
    picture = ElementTree.fromstring(svg(lineage))  # noqa: S314 - our own text
    assert len(picture.findall(f"{SVG}path")) == 2


def test_a_parent_that_no_listing_showed_is_drawn_as_such() -> None:
    lineage = Lineage([Shard("b", ("a",), "1", "2"), Shard("c", ("a",), "1")])
    assert [(box.shard_id, box.state) for box in boxes(lineage)] == [
        ("a", "unlisted"),
        ("b", "closed"),
        ("c", "open"),
    ]


def test_a_listing_that_loops_does_not_loop_the_picture() -> None:
    lineage = Lineage([Shard("a", ("b",)), Shard("b", ("a",)), Shard("c")])
    assert sorted(box.shard_id for box in boxes(lineage)) == ["a", "b", "c"]  # the link that closes the loop is cut


def test_a_lineage_may_be_deeper_than_the_interpreters_stack() -> None:
    lineage = Lineage.draw({f"{n:05}": [f"{n + 1:05}"] for n in range(5_000)})
    assert max(box.generation for box in boxes(lineage)) == 5_000


def test_the_picture_has_every_shard_once_with_its_note_and_its_text_escaped() -> None:
    lineage = Lineage.draw({"a-<1>": ["b-2", "c-3"]})
    picture = ElementTree.fromstring(svg(lineage, {"b-2": "3 h & 5 records"}))  # noqa: S314 - our own text
    boxes = picture.findall(f"{SVG}g")
    assert [[text.text for text in box.iter() if text.text] for box in boxes] == [
        ["a-<1>: open", "<1>"],
        ["b-2: open", "2", "3 h & 5 records"],
        ["c-3: open", "3"],
    ]
    assert len(picture.findall(f"{SVG}path")) == 2


def test_a_picture_of_very_many_shards_is_cut_and_says_so() -> None:
    lineage = Lineage(Shard(f"s-{n:05}") for n in range(3_000))
    picture = ElementTree.fromstring(svg(lineage))  # noqa: S314 - our own text
    assert len(picture.findall(f"{SVG}g")) == MOST_ROWS
    assert "3,000 shards, 2,800 of them not shown" in "".join(picture.itertext())


def test_an_empty_lineage_is_a_picture_too() -> None:
    assert "0 shards" in svg(Lineage())


def test_a_lineage_counts_its_open_shards() -> None:
    lineage = Lineage([Shard("a", (), "1", "2"), Shard("b", ("a",), "3")])
    assert repr(lineage) == "Lineage(2 shards, 1 of them open)"


def test_a_shards_id_says_when_it_was_created_where_it_is_of_the_services_form() -> None:
    assert created("shardId-00000001414576573621-f55eea83") == 1_414_576_573.621
    assert created("shardId-000000000000") is None
    assert created("a") is None


def test_thirty_shards_fit_into_a_notebook_and_every_box_has_its_name() -> None:
    """Four shards that rolled six times, and one of them split: no wider than an output, and boxes do not overlap."""
    children: dict[str, list[str]] = {
        f"a-{root}-{roll}": [f"a-{root}-{roll + 1}"] for root in range(4) for roll in range(7)
    }
    children["a-0-3"].append("a-9-x")
    picture = ElementTree.fromstring(svg(Lineage.draw(children)))  # noqa: S314 - our own text
    assert int(picture.attrib["width"]) <= 960
    boxes = picture.findall(f"{SVG}g/{SVG}rect")
    assert len(boxes) == 33
    places = {(float(box.attrib["x"]), float(box.attrib["y"])) for box in boxes}
    assert len(places) == 33
    assert all(float(box.attrib["x"]) + float(box.attrib["width"]) <= 960 for box in boxes)
    names = [box.findall(f"{SVG}text")[0].text or "" for box in picture.findall(f"{SVG}g")]
    assert all(7 * len(name) <= float(boxes[0].attrib["width"]) for name in names)


def test_many_leaves_are_drawn_close_together_unless_they_have_notes() -> None:
    lineage = Lineage.draw({f"a-{n}": [] for n in range(30)})
    heights = [
        float(ElementTree.fromstring(svg(lineage, notes)).attrib["height"])  # noqa: S314
        for notes in (None, {"a-1": "5 records"})
    ]
    assert heights[0] < 900 < heights[1]
