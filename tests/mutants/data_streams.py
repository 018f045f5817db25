"""Mutants of what a Kinesis data stream does differently: its horizon, its merges, its times (traps 34 to 36)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STREAM = "reader/kinesis_stream.py"
DECODE = "wire/kinesis_decode.py"
TESTS = "reader/test_kinesis_stream.py"

MUTANTS = (
    Mutant(
        34,
        "a page after a position is asked for after the position, where a trimmed one cannot be seen",
        f"{STREAM}::KinesisStream.iterator",
        '"AT_SEQUENCE_NUMBER"',
        '"AFTER_SEQUENCE_NUMBER"',
        f"{TESTS}::test_the_record_at_the_position_is_not_delivered_again_after_expired_iterators",
    ),
    Mutant(
        34,
        "another record than that of the position is taken for it",
        f"{STREAM}::KinesisStream._checked",
        "first is None or int(first) > int(number)",
        "first is None",
        f"{TESTS}::test_a_position_older_than_the_retention_is_a_loss_and_not_a_silent_horizon",
    ),
    Mutant(
        34,
        "an empty page ends the check",
        f"{STREAM}::KinesisStream._checked",
        "first is None and following is not None",
        "False",
        f"{TESTS}::test_the_record_at_the_position_is_not_delivered_again_after_expired_iterators",
    ),
    Mutant(
        34,
        "the old position of an idle shard is a loss",
        "reader/answers.py::Answers._losses",
        "read.trimmed is False and was_read",
        "False",
        f"{TESTS}::test_an_idle_shard_whose_last_record_is_trimmed_has_lost_nothing",
    ),
    Mutant(
        34,
        "the retention is the one that the stream had when the read began",
        f"{STREAM}::KinesisStream._ask_for_retention",
        "now - self._asked >= every",
        "False",
        "reader/test_kinesis_trouble.py::test_a_shorter_retention_in_mid_read_hides_no_loss",
    ),
    Mutant(
        35,
        "the second parent is not seen",
        f"{DECODE}::decode_shards",
        "(shard.parent_shard_id, shard.adjacent_parent_shard_id)",
        "(shard.parent_shard_id,)",
        f"{TESTS}::test_the_child_of_a_merge_begins_once_both_parents_are_read",
    ),
    Mutant(
        35,
        "the child of a merge does not wait for its second parent",
        "shards/growth.py::Growth.begin",
        "sum(self.holds_back(shard, other) for other in others)",
        "False",
        f"{TESTS}::test_the_child_of_a_merge_begins_once_both_parents_are_read",
    ),
    Mutant(
        35,
        "the end of a shard says that all is read up to now",
        "reader/answers.py::Answers.page",
        "empty and read.page.behind == 0 and read.hint is not None",
        "empty and read.page.behind == 0",
        f"{TESTS}::test_the_end_of_an_idle_shard_does_not_move_the_watermark_past_its_children",
    ),
    Mutant(
        36,
        "all times are in milliseconds",
        f"{DECODE}::_in_seconds",
        "1000000 if in_micros else 1000",
        "1000",
        f"{TESTS}::test_the_creation_time_has_the_unit_of_its_own_record",
    ),
    Mutant(
        36,
        "a time without a precision is in milliseconds whatever its size",
        f"{DECODE}::_in_seconds",
        "moment >= _LEAST_MICROSECONDS",
        "False",
        f"{TESTS}::test_micros_are_known_by_their_size_where_no_precision_is_said",
    ),
)
