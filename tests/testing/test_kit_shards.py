"""The life of a shard: which keys it takes, how it rolls, splits and ends, and what its numbers say."""

from __future__ import annotations

from collections import defaultdict

import pytest

from beam_dynamodb_streams.testing import Clock, LocalStreams, Table


@pytest.fixture
def table(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=4)


def _write(table: Table, count: int) -> dict[str, list[str]]:
    """The keys that went to each shard."""
    found: dict[str, list[str]] = defaultdict(list)
    for number in range(count):
        change = table.put({"id": f"o-{number}", "writes": len(table.changes)})
        assert change is not None
        found[change.shard_id].append(f"o-{number}")
    return found


def test_keys_spread_over_all_open_shards_and_each_belongs_to_one(table) -> None:
    first, second = _write(table, 200), _write(table, 200)
    assert set(first) == set(table.open_shard_ids)
    assert first == second
    assert sum(map(len, first.values())) == 200


def test_items_of_one_partition_go_to_one_shard_whatever_their_sort_key(service) -> None:
    table = service.create_table("lines", keys={"order": "S", "line": "N"}, shards=8)
    changes = table.put_many({"order": "o-1", "line": line} for line in range(50))
    assert {change.shard_id for change in changes} == {table.shard_of({"order": "o-1", "line": 99})}


def test_a_split_gives_each_half_of_the_range_to_a_child(table) -> None:
    before = _write(table, 200)
    parent = table.open_shard_ids[1]
    children = table.split(parent)
    after = _write(table, 200)
    assert parent not in after
    assert sorted(after[children[0]] + after[children[1]]) == sorted(before[parent])
    assert all(after[child] for child in children)
    assert {shard: keys for shard, keys in after.items() if shard not in children} == {
        shard: keys for shard, keys in before.items() if shard != parent
    }


def test_a_roll_gives_the_whole_range_to_one_child(table) -> None:
    before = _write(table, 200)
    parent = table.open_shard_ids[2]
    child = table.roll(parent)
    assert _write(table, 200)[child] == before[parent]


def test_rolling_all_replaces_every_open_shard(table) -> None:
    before = table.open_shard_ids
    after = table.roll_all()
    assert after == table.open_shard_ids
    assert [table.lineage[shard] for shard in after] == before


def test_a_closed_shard_lists_its_end_and_its_children_list_it_as_their_parent(table, reader) -> None:
    _write(table, 100)
    parent = table.open_shard_ids[0]
    numbers = reader.read(table.stream_arn, parent)
    children = table.split(parent)
    listed = reader.listed(table.stream_arn)
    assert listed[parent]["SequenceNumberRange"]["EndingSequenceNumber"] == numbers[-1]
    assert [listed[child]["ParentShardId"] for child in children] == [parent, parent]
    assert all("EndingSequenceNumber" not in listed[child]["SequenceNumberRange"] for child in children)
    assert all("ParentShardId" not in listed[root] for root, above in table.lineage.items() if above is None)


def test_a_parent_ends_before_its_children_begin(table) -> None:
    """Along a lineage the numbers grow, over rolls and splits too."""
    for _ in range(3):
        _write(table, 100)
        table.roll_all()
        table.split(table.open_shard_ids[0])
    numbers = defaultdict(list)
    for change in table.changes:
        numbers[change.shard_id].append(int(change.sequence_number))
    for shard in table.listing():
        span, parent = shard["SequenceNumberRange"], shard.get("ParentShardId")
        assert all(number > int(span["StartingSequenceNumber"]) for number in numbers[shard["ShardId"]])
        assert numbers[shard["ShardId"]] == sorted(numbers[shard["ShardId"]])
        if parent is not None and numbers[parent]:
            assert int(span["StartingSequenceNumber"]) > max(numbers[parent])


def test_sequence_numbers_are_unique_digits_whose_order_as_text_is_wrong(table) -> None:
    """Trap 4."""
    _write(table, 1000)
    table.roll_all()
    _write(table, 1000)
    numbers = [change.sequence_number for change in table.changes]
    assert len(set(numbers)) == len(numbers)
    assert all(number.isdecimal() and 21 <= len(number) <= 40 for number in numbers)
    shard = table.changes[0].shard_id
    of_one = [change.sequence_number for change in table.changes if change.shard_id == shard]
    assert of_one == sorted(of_one, key=int)
    assert of_one != sorted(of_one)


def test_sequence_numbers_of_different_lineages_do_not_show_the_order_of_writes(table) -> None:
    _write(table, 200)
    numbers = [int(change.sequence_number) for change in table.changes]
    assert numbers != sorted(numbers)


def test_changes_of_one_item_keep_their_order_along_the_lineage(table, reader) -> None:
    written = []
    for round_ in range(6):
        written.append(table.put({"id": "o-1", "round": round_}))
        shard = table.shard_of({"id": "o-1"})
        table.split(shard) if round_ % 2 else table.roll(shard)
    path = [change.shard_id for change in written]
    assert [table.lineage[child] for child in path[1:]] == path[:-1]
    read = [number for shard in path for number in reader.read(table.stream_arn, shard)]
    assert read == [change.sequence_number for change in written]


def test_shard_ids_and_arns_have_the_services_form(service) -> None:
    table = service.create_table("orders", keys={"id": "S"}, shards=4, older_than_a_day=False)
    assert table.stream_arn == ("arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000")
    for shard in table.open_shard_ids:
        name, millis, drawn = shard.split("-")
        assert (name, len(millis), len(drawn)) == ("shardId", 20, 8)
        assert int(millis) == 1_767_225_600_000


def test_a_stream_is_older_than_a_day_unless_it_is_asked_to_be_young(service, reader, clock) -> None:
    """Trap 23: its oldest listed shards name parents that no listing shows and no call finds."""
    old = service.create_table("orders", keys={"id": "S"}, shards=4)
    young = service.create_table("others", keys={"id": "S"}, shards=4, older_than_a_day=False)
    for shard, listed in reader.listed(old.stream_arn).items():
        parent = listed["ParentShardId"]
        assert int(parent.split("-")[1]) < int(shard.split("-")[1]) < (clock() - 24 * 3600) * 1000
        assert parent not in reader.listed(old.stream_arn)
        code, _ = reader.refusal(
            "get_shard_iterator", StreamArn=old.stream_arn, ShardId=parent, ShardIteratorType="TRIM_HORIZON"
        )
        assert code == "ResourceNotFoundException"
    assert len(set(old.lineage.values())) == 4
    assert set(young.lineage.values()) == {None}
    assert not any("ParentShardId" in listed for listed in reader.listed(young.stream_arn).values())


def test_what_is_enabled_or_created_again_is_young(service, table) -> None:
    table.disable_stream()
    table.enable_stream(shards=2)
    assert set(table.lineage.values()) == {None}
    with pytest.raises(ValueError, match="had a stream before"):
        table.disable_stream(), table.enable_stream(older_than_a_day=True)
    table.delete_table()
    again = service.create_table("orders", keys={"id": "S"})
    assert set(again.lineage.values()) == {None}


def test_keys_can_be_drawn_for_a_shard(service) -> None:
    for kind in ("S", "N", "B"):
        table = service.create_table(f"by-{kind}", keys={"id": kind}, shards=4)
        for shard in table.open_shard_ids:
            keys = table.keys_in(shard, 3)
            assert [table.shard_of(each) for each in keys] == [shard] * 3


def test_a_closed_shard_neither_rolls_nor_splits_again(table) -> None:
    parent = table.open_shard_ids[0]
    table.roll(parent)
    for change in (table.roll, table.split):
        with pytest.raises(ValueError, match="is closed"):
            change(parent)
    with pytest.raises(ValueError, match="has no shard 'shardId-x'"):
        table.roll("shardId-x")


def test_the_same_seed_clock_and_writes_give_the_same_stream(start) -> None:
    def _run(seed: int) -> list[bytes]:
        table = start(seed=seed, clock=Clock()).create_table("orders", keys={"id": "S"}, shards=3)
        _write(table, 50)
        table.roll_all()
        _write(table, 50)
        return [*(change.body for change in table.changes), *(shard.encode() for shard in table.lineage)]

    assert _run(7) == _run(7)
    assert _run(7) != _run(8)


# Trimming


def test_records_are_trimmed_after_a_day_and_the_horizon_moves_to_the_rest(table, reader, clock) -> None:
    shard = table.open_shard_ids[0]
    first, second = table.keys_in(shard, 2)
    old = table.put(first)
    clock.advance(3600)
    new = table.put(second)
    clock.advance(23 * 3600 + 1)
    assert reader.read(table.stream_arn, shard) == [new.sequence_number]
    assert reader.read(table.stream_arn, shard, "AT_TIMESTAMP", Timestamp=0) == [new.sequence_number]
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        code = reader.iterator_refusal(table.stream_arn, shard, kind, SequenceNumber=old.sequence_number)
        assert code == "TrimmedDataAccessException"


def test_an_iterator_whose_next_record_is_trimmed_meanwhile_is_refused(table, reader) -> None:
    """Trap 10: GetRecords says so too."""
    shard = table.open_shard_ids[0]
    keys = table.keys_in(shard, 3)
    table.put_many(keys)
    iterator = reader.iterator(table.stream_arn, shard)
    table.trim(shard, keep=2)
    assert reader.page_refusal(iterator) == "TrimmedDataAccessException"
    assert len(reader.read(table.stream_arn, shard)) == 2


def test_an_iterator_behind_what_is_trimmed_stays_good(table, reader) -> None:
    shard = table.open_shard_ids[0]
    table.put_many(table.keys_in(shard, 3))
    _, iterator = reader.page(reader.iterator(table.stream_arn, shard))
    table.trim(shard)
    (later,) = (table.put(keys) for keys in table.keys_in(shard))
    records, _ = reader.page(iterator)
    assert [record["dynamodb"]["SequenceNumber"] for record in records] == [later.sequence_number]


def test_a_closed_shard_whose_records_are_all_trimmed_is_neither_listed_nor_found(table, reader, clock) -> None:
    """Traps 6 and 11: its children still name it as their parent."""
    parent = table.open_shard_ids[0]
    table.put_many(table.keys_in(parent, 3))
    iterator = reader.iterator(table.stream_arn, parent)
    child = table.roll(parent)
    clock.advance(24 * 3600 - 1)
    assert parent in reader.listed(table.stream_arn)
    clock.advance(2)
    listed = reader.listed(table.stream_arn)
    assert parent not in listed
    assert listed[child]["ParentShardId"] == parent
    assert parent not in table.shard_ids
    members = {"StreamArn": table.stream_arn, "ShardId": parent, "ShardIteratorType": "TRIM_HORIZON"}
    code, text = reader.refusal("get_shard_iterator", **members)
    assert (code, text) == (
        "ResourceNotFoundException",
        "Requested resource not found: Shard does not exist",
    )
    assert reader.page_refusal(iterator) == "ExpiredIteratorException"


def test_a_closed_shard_without_records_is_forgotten_a_day_after_its_end(table, reader, clock) -> None:
    parent = table.open_shard_ids[0]
    table.roll(parent)
    clock.advance(24 * 3600)
    assert parent in reader.listed(table.stream_arn)
    clock.advance(1)
    assert parent not in reader.listed(table.stream_arn)


def test_an_open_shard_stays_however_old_its_records_are(table, reader, clock) -> None:
    shard = table.open_shard_ids[0]
    table.put_many(table.keys_in(shard, 3))
    clock.advance(100 * 3600)
    assert shard in reader.listed(table.stream_arn)
    assert reader.read(table.stream_arn, shard) == []


def test_trimming_all_by_hand_forgets_every_closed_shard(table, reader) -> None:
    for _ in range(2):
        _write(table, 20)
        table.roll_all()
    table.trim()
    assert set(reader.listed(table.stream_arn)) == set(table.open_shard_ids)


def test_a_dropped_shard_is_not_found_and_may_stay_listed(table, reader) -> None:
    """Traps 6 and 11."""
    one, other, *_ = table.open_shard_ids
    table.roll_all()
    iterator = reader.iterator(table.stream_arn, other)
    table.drop(one)
    table.drop(other, listed=True)
    listed = reader.listed(table.stream_arn)
    assert (one in listed, other in listed) == (False, True)
    for shard in (one, other):
        code = reader.iterator_refusal(table.stream_arn, shard, "TRIM_HORIZON")
        assert code == "ResourceNotFoundException"
    assert reader.page_refusal(iterator) == "ResourceNotFoundException"


def test_retention_is_an_option(start, connect, clock) -> None:
    service = start(retention=60)
    table = service.create_table("orders", keys={"id": "S"})
    table.put({"id": "o-1"})
    clock.advance(61)
    assert connect(service).read(table.stream_arn, table.open_shard_ids[0]) == []
