"""Reading a shard: the five iterator types, pages and their ends."""

from __future__ import annotations

import json

import pytest

from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table


@pytest.fixture
def table(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"})


def _write(table: Table, count: int, *, first: int = 0) -> list[str]:
    items = ({"id": f"o-{number}", "n": number} for number in range(first, first + count))
    return [change.sequence_number for change in table.put_many(items)]


def test_trim_horizon_reads_a_shard_from_its_first_record_in_the_order_of_writing(table, reader) -> None:
    numbers = _write(table, 25)
    assert reader.read(table.stream_arn, table.open_shard_ids[0]) == numbers


def test_latest_reads_only_what_is_written_after_the_iterator_was_made(table, reader) -> None:
    _write(table, 3)
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0], "LATEST")
    later = _write(table, 2, first=3)
    records, _ = reader.page(iterator)
    assert [record["dynamodb"]["SequenceNumber"] for record in records] == later


def test_at_sequence_number_begins_with_that_record_and_after_behind_it(table, reader) -> None:
    numbers = _write(table, 5)
    shard = table.open_shard_ids[0]
    at = reader.read(table.stream_arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=numbers[2])
    after = reader.read(table.stream_arn, shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[2])
    assert (at, after) == (numbers[2:], numbers[3:])


def test_the_starting_sequence_number_of_a_listing_is_a_place_to_begin(table, reader) -> None:
    numbers = _write(table, 3)
    ((shard, listed),) = reader.listed(table.stream_arn).items()
    first = listed["SequenceNumberRange"]["StartingSequenceNumber"]
    assert reader.read(table.stream_arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=first) == numbers


def test_a_sequence_number_of_another_shard_is_a_validation_error(service, table, reader) -> None:
    other = service.create_table("other", keys={"id": "S"})
    _write(table, 3)
    (foreign,) = _write(other, 1)
    shard = table.open_shard_ids[0]
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        code = reader.iterator_refusal(table.stream_arn, shard, kind, SequenceNumber=foreign)
        assert code == "ValidationException"


def test_at_timestamp_begins_with_the_first_record_created_at_or_after_it(table, reader, clock: Clock) -> None:
    early = _write(table, 2)
    clock.advance(10.7)
    late = _write(table, 2, first=2)
    shard = table.open_shard_ids[0]
    created = int(clock())
    read = {
        at: reader.read(table.stream_arn, shard, "AT_TIMESTAMP", Timestamp=at)
        for at in (created - 100, created - 10, created - 9, created, created + 0.25)
    }
    assert read[created - 100] == read[created - 10] == early + late
    assert read[created - 9] == read[created] == late
    # The creation time is floored, so a time later in the same second lies after it (traps 3 and 19).
    assert read[created + 0.25] == []


def test_at_timestamp_in_the_future_is_a_validation_error(table, reader, clock: Clock) -> None:
    shard = table.open_shard_ids[0]
    code = reader.iterator_refusal(table.stream_arn, shard, "AT_TIMESTAMP", Timestamp=clock() + 1)
    assert code == "ValidationException"


def test_an_older_endpoint_does_not_know_at_timestamp(start, connect) -> None:
    service = start(at_timestamp=False)
    table = service.create_table("orders", keys={"id": "S"})
    members = {"StreamArn": table.stream_arn, "ShardId": table.open_shard_ids[0]}
    reader = connect(service)
    code, text = reader.refusal(
        "get_shard_iterator", ShardIteratorType="AT_TIMESTAMP", Timestamp=service.clock() - 1, **members
    )
    assert code == "ValidationException"
    assert "enum value set" in text


def test_a_page_has_at_most_limit_records_and_the_next_one_begins_after_it(table, reader) -> None:
    numbers = _write(table, 7)
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    sizes, found = [], []
    for _ in range(3):
        records, iterator = reader.page(iterator, Limit=3)
        sizes.append(len(records))
        found += [record["dynamodb"]["SequenceNumber"] for record in records]
    assert sizes == [3, 3, 1]
    assert found == numbers


def test_a_page_has_at_most_a_thousand_records(table, reader) -> None:
    _write(table, 1001)
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    first, iterator = reader.page(iterator)
    second, _ = reader.page(iterator)
    assert (len(first), len(second)) == (1000, 1)


def test_a_page_has_at_most_one_megabyte_but_always_a_record(table, reader) -> None:
    table.put_many({"id": f"o-{number}", "text": "x" * 390_000} for number in range(4))
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    first, iterator = reader.page(iterator)
    second, _ = reader.page(iterator)
    assert (len(first), len(second)) == (2, 2)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_outside_one_to_a_thousand_is_a_validation_error(table, reader, limit: int) -> None:
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    code, text = reader.refusal("get_records", ShardIterator=iterator, Limit=limit)
    assert code == "ValidationException"
    assert f"'{limit}' at 'limit'" in text


def test_an_unknown_iterator_type_is_a_validation_error(table, reader) -> None:
    code = reader.iterator_refusal(table.stream_arn, table.open_shard_ids[0], "AT_THE_END")
    assert code == "ValidationException"


@pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"])
def test_an_iterator_type_without_its_place_is_a_validation_error(table, reader, kind: str) -> None:
    assert reader.iterator_refusal(table.stream_arn, table.open_shard_ids[0], kind) == "ValidationException"


def test_an_open_shard_read_to_its_end_returns_empty_pages_and_then_later_records(table, reader) -> None:
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    for _ in range(3):
        records, iterator = reader.page(iterator)
        assert records == []
        assert iterator is not None
    numbers = _write(table, 1)
    records, _ = reader.page(iterator)
    assert [record["dynamodb"]["SequenceNumber"] for record in records] == numbers


def test_the_last_page_of_a_closed_shard_brings_records_and_no_iterator(table, reader) -> None:
    """Trap 1."""
    _write(table, 3)
    shard = table.open_shard_ids[0]
    table.roll(shard)
    first, iterator = reader.page(reader.iterator(table.stream_arn, shard), Limit=2)
    last, end = reader.page(iterator)
    assert (len(first), len(last), end) == (2, 1, None)


def test_the_end_of_a_closed_shard_may_come_one_empty_page_late(service, table, reader) -> None:
    """Trap 1, the other way round."""
    service.faults = Faults(late_end=1.0)
    _write(table, 3)
    shard = table.open_shard_ids[0]
    table.roll(shard)
    records, iterator = reader.page(reader.iterator(table.stream_arn, shard))
    assert len(records) == 3
    assert iterator is not None
    assert reader.page(iterator) == ([], None)


def test_a_closed_shard_without_records_ends_on_its_first_page(table, reader) -> None:
    shard = table.open_shard_ids[0]
    table.roll(shard)
    for kind in ("TRIM_HORIZON", "LATEST"):
        assert reader.page(reader.iterator(table.stream_arn, shard, kind)) == ([], None)


def test_an_iterator_is_good_for_fifteen_minutes_and_the_next_one_for_as_long_again(
    table, reader, clock: Clock
) -> None:
    """Trap 9."""
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    clock.advance(15 * 60)
    _, following = reader.page(iterator)
    clock.advance(1)
    assert reader.page_refusal(iterator) == "ExpiredIteratorException"
    clock.advance(14 * 60)
    assert reader.page(following)[0] == []


def test_the_life_of_an_iterator_is_an_option(start, connect, clock: Clock) -> None:
    service = start(iterator_life=5)
    table = service.create_table("orders", keys={"id": "S"})
    reader = connect(service)
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    clock.advance(5.5)
    assert reader.page_refusal(iterator) == "ExpiredIteratorException"


def test_an_iterator_may_be_used_twice_and_answers_the_same_records(table, reader) -> None:
    """Trap 18: repeats carry the same eventID."""
    _write(table, 2)
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    assert reader.page(iterator) == reader.page(iterator)


def test_an_iterator_begins_with_the_stream_arn_and_has_a_realistic_length(table, reader) -> None:
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    assert iterator.startswith(f"{table.stream_arn}|1|")
    assert len(iterator) == 300


def test_iterators_can_be_as_long_as_the_service_allows(start, connect) -> None:
    service = start(iterator_length=2048)
    table = service.create_table("orders", keys={"id": "S"})
    reader = connect(service)
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    assert len(iterator) == 2048
    assert len(reader.page(iterator)[1]) == 2048


def test_an_iterator_that_anyone_touched_is_a_validation_error(table, reader) -> None:
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    for place in (3, len(table.stream_arn) + 10, len(iterator) - 1):
        changed = iterator[:place] + ("A" if iterator[place] != "A" else "B") + iterator[place + 1 :]
        assert reader.page_refusal(changed) == "ValidationException"
    assert reader.page_refusal("nonsense") == "ValidationException"
    assert reader.page_refusal(iterator + "A") == "ValidationException"


def test_the_iterator_of_a_service_with_another_seed_is_a_validation_error(start, connect) -> None:
    one, other = start(seed=1), start(seed=2)
    table = one.create_table("orders", keys={"id": "S"})
    other.create_table("orders", keys={"id": "S"})
    iterator = connect(one).iterator(table.stream_arn, table.open_shard_ids[0])
    assert connect(other).page_refusal(iterator) == "ValidationException"


def test_empty_pages_come_in_runs_while_there_are_records(service, table, reader) -> None:
    """Trap 5."""
    numbers = _write(table, 40)
    service.faults = Faults(empty_page=0.3, empty_run=5)
    iterator = reader.iterator(table.stream_arn, table.open_shard_ids[0])
    found, sizes = [], []
    while len(found) < 40:
        records, iterator = reader.page(iterator, Limit=2)
        sizes.append(len(records))
        found += [record["dynamodb"]["SequenceNumber"] for record in records]
    assert found == numbers
    runs = json.dumps(sizes).replace(" ", "")
    assert "0,0,0" in runs
    assert service.counts.empty_pages == sizes.count(0)
