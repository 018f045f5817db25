"""Mutants of a shard's position: its last page, its start, its numbers, its empty pages (traps 1, 3, 4 and 5)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DELIVERY = "reader/page.py"
STREAM = "reader/dynamodb_streams.py"
CALLER = "reader/stream_caller.py"
ANSWERS = "reader/answers.py"
READER = "reader/reader.py"

MUTANTS = (
    Mutant(
        1,
        "the records of a shard's last page are dropped",
        f"{DELIVERY}::deliver",
        "return Delivery(moved.end(shard), records, malformed, newest, ended=True)",
        "return Delivery(moved.end(shard), [], malformed, newest, ended=True)",
        "reader/test_reader_records.py::test_records_of_a_shards_last_page_are_delivered",
    ),
    Mutant(
        1,
        "a page without a next iterator does not end its shard",
        f"{DELIVERY}::deliver",
        "read.hint is None",
        "read.hint is None and not records",
        "reader/test_page.py::test_the_last_page_is_delivered_and_ends_its_shard",
    ),
    Mutant(
        1,
        "a null next iterator is taken for one",
        "wire/decode.py::decode_records",
        "return RecordsPage(body, page.Records, [], page.NextShardIterator or None)",
        'return RecordsPage(body, page.Records, [], page.NextShardIterator or "")',
        "wire/test_wire_pages.py::test_the_last_page_of_a_shard_may_bring_records",
    ),
    Mutant(
        3,
        "LATEST is asked for again after an expiry",
        f"{STREAM}::DynamoDBStream.iterator",
        'return self._calls.get_shard_iterator(self.name, shard, "AT_TIMESTAMP", timestamp=second)',
        'return self._calls.get_shard_iterator(self.name, shard, "LATEST")',
        "reader/test_reader_records.py::test_a_start_at_latest_survives_an_expired_iterator",
    ),
    Mutant(
        3,
        "LATEST is asked for again after a restart",
        f"{STREAM}::DynamoDBStream.iterator",
        "case AtTime(second) if self._knows_at_timestamp: ...",
        (
            "case AtTime(second) if self._knows_at_timestamp:\n"
            '    return self._calls.get_shard_iterator(self.name, shard, "LATEST")'
        ),
        "reader/test_reader_records.py::test_a_start_at_latest_survives_a_restart_before_the_first_record",
    ),
    Mutant(
        3,
        "LATEST is rounded up to the next second",
        "shards/start_stop.py::resolve_bounds",
        "this_second = floor(now)",
        "this_second = floor(now) + 1",
        "shards/test_start_stop.py::test_now_and_latest_are_the_services_second_when_the_pipeline_starts",
    ),
    Mutant(
        3,
        "LATEST is the machine's second, not the service's",
        "wire/clock.py::ServiceClock.now",
        "return self._clock() + self._offset",
        "return self._clock()",
        "source/test_start.py::test_latest_and_now_are_the_services_second_whatever_this_machines_clock_says",
    ),
    Mutant(
        3,
        "an endpoint without AT_TIMESTAMP is read from the horizon without skipping",
        f"{CALLER}::_from",
        "record.creation_time >= second",
        "True",
        "reader/test_reader_records.py::test_a_start_at_a_moment_needs_no_at_timestamp",
    ),
    Mutant(
        3,
        "skipping to a start drops what was created in its own second",
        f"{CALLER}::_from",
        "record.creation_time >= second",
        "record.creation_time > second",
        "reader/test_reader_records.py::test_a_start_at_a_moment_needs_no_at_timestamp",
    ),
    Mutant(
        3,
        "an endpoint that does not know AT_TIMESTAMP fails the read",
        f"{STREAM}::DynamoDBStream.iterator",
        "except IteratorTypeError: ...",
        "except IteratorTypeError: raise",
        "reader/test_reader_records.py::test_a_start_at_a_moment_needs_no_at_timestamp",
    ),
    Mutant(
        4,
        "positions are compared as text",
        "shards/position.py::is_at_or_past",
        "return int(new) >= int(old)",
        "return new >= old",
        "reader/test_page.py::test_a_shard_continues_from_a_shorter_number_to_a_longer_one",
    ),
    Mutant(
        4,
        "saved positions are compared as text",
        "shards/position.py::is_at_or_past",
        "return int(new) >= int(old)",
        "return not new < old",
        "shards/test_stream_position.py::test_records_may_be_folded_in_any_order_and_more_than_once",
    ),
    Mutant(
        4,
        "the last number of a page is the largest text",
        f"{DELIVERY}::_last",
        "After(max(numbers, key=int))",
        "After(max(numbers))",
        "reader/test_page.py::test_the_position_after_a_page_is_its_largest_number_and_not_its_longest_text",
    ),
    Mutant(
        4,
        "the folded position of a run compares text",
        "source/delivered_position.py::_raise_to",
        "int(number) > int(known)",
        "number > known",
        "source/test_delivered.py::test_the_folded_position_covers_the_records_delivered_and_no_more",
    ),
    Mutant(
        4,
        "numbers of all shards are compared with each other",
        "source/delivered_position.py::_raise_to",
        "known = accumulator.get(shard)",
        "known = max(accumulator.values(), key=int, default=None)",
        "source/test_delivered.py::test_the_folded_position_covers_the_records_delivered_and_no_more",
    ),
    Mutant(
        5,
        "one empty page proves that a shard is caught up",
        "shards/quiet.py::QuietRun.proves",
        "return self.pages >= rule.pages and self.last - self.first >= rule.seconds",
        "return self.pages >= 1",
        "reader/test_reader_records.py::test_a_run_of_twenty_empty_pages_before_data_does_not_end_a_read_that_stops_now",
    ),
    Mutant(
        5,
        "many empty pages at once prove that a shard is caught up",
        "shards/quiet.py::QuietRun.proves",
        "self.pages >= rule.pages and self.last - self.first >= rule.seconds",
        "self.pages >= rule.pages",
        "shards/test_quiet.py::test_enough_pages_in_too_short_a_time_prove_nothing",
    ),
    Mutant(
        5,
        "time alone proves that a shard is caught up",
        "shards/quiet.py::QuietRun.proves",
        "self.pages >= rule.pages and self.last - self.first >= rule.seconds",
        "self.last - self.first >= rule.seconds",
        "shards/test_quiet.py::test_a_long_time_with_too_few_pages_proves_nothing",
    ),
    Mutant(
        5,
        "a slow answer takes the service's time back, and a quiet proof gets short",
        "wire/clock.py::ServiceClock.observe",
        "not least <= self._offset < ...",
        "not least <= self._offset < least + 1",
        "wire/test_service_clock.py::test_a_quiet_proof_takes_its_time_though_an_answer_among_its_pages_is_slow",
    ),
    Mutant(
        5,
        "a page without records is the end of its shard",
        f"{CALLER}::StreamCaller._read",
        "page.next_iterator is None",
        "page.next_iterator is None or not page.records",
        "reader/test_reader_records.py::test_a_run_of_twenty_empty_pages_before_data_does_not_end_a_read_that_stops_now",
    ),
    Mutant(
        5,
        "a page of nothing but records older than the start is the end",
        f"{DELIVERY}::deliver",
        "read.hint is None",
        "read.hint is None or not read.records",
        "reader/test_page.py::test_a_page_with_an_iterator_after_it_ends_nothing",
    ),
    Mutant(
        5,
        "a page of nothing but records older than the start counts as empty",
        f"{ANSWERS}::Answers.page",
        "not read.page.records and ... and ... and ...",
        "not read.records and ... and ... and ...",
        "reader/test_reader_resumed.py::test_records_older_than_the_start_are_not_empty_pages",
    ),
    Mutant(
        5,
        "empty pages before the stop prove what came after it",
        f"{ANSWERS}::Answers._empty_page",
        "state.quiet = NOT_QUIET",
        "pass",
        "reader/test_reader_stop.py::test_empty_pages_before_the_stop_prove_nothing_about_what_comes_by_it",
    ),
    Mutant(
        5,
        "a record does not end a run of empty pages",
        f"{ANSWERS}::Answers.page",
        "state.position, state.hint, state.quiet, state.wait = reading.position, reading.hint, NOT_QUIET, 0.0",
        "state.position, state.hint, state.wait = reading.position, reading.hint, 0.0",
        "reader/test_reader_stop.py::test_a_record_ends_a_run_of_empty_pages",
    ),
)
