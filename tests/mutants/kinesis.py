"""Mutants of what an unmodified Kinesis consumer needs to read anything at all (traps 30 to 33)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

KCL = "kinesis/test_consumers.py::test_kcl_1_reads_through_a_roll_and_a_split"
KCLS = "kinesis/test_consumers.py::test_kcl_2_and_kcl_3_read_through_a_roll_and_a_split"
NPM = "kinesis/test_consumers.py::test_the_npm_client_reads_through_a_roll_and_a_split"

MUTANTS = (
    Mutant(
        30,
        "HTTP/2 with prior knowledge is taken for HTTP/1.1",
        "kinesis/server.py::_Connection.data_received",
        "Http2 if self._first.startswith(PREFACE) else Http1",
        "Http1",
        NPM,
    ),
    Mutant(
        31,
        "every shard has the hash keys 0 to 1, as the adapter lists them",
        "kinesis/hash_ranges.py::HashRange.parts",
        "return [HashRange(low, high - 1) for low, high in pairwise(edges)]",
        "return [HashRange(0, 1) for _ in pairwise(edges)]",
        KCLS,
    ),
    Mutant(
        32,
        "an only child names its parent once",
        "kinesis/shard_filters.py::child_shards",
        "[parent, parent] if len(children) == 1 else [parent]",
        "[parent]",
        KCL,
    ),
    Mutant(
        33,
        "the end of a shard does not name its children",
        "kinesis/one_stream.py::OneStream._end",
        "return RecordsAnswer(Records(), None, 0, child_shards(self._listing.known, shard))",
        "return RecordsAnswer(Records(), None, 0)",
        KCL,
    ),
    Mutant(
        33,
        "the end of a shard is answered before its children are known",
        "kinesis/one_stream.py::OneStream._end",
        "return RecordsAnswer(Records(), self._encode(shard, position), 0)",
        "return RecordsAnswer(Records(), None, 0)",
        "kinesis/test_client.py::test_the_end_is_held_until_the_children_are_listed",
    ),
    Mutant(
        33,
        "a shard that has ended still has an iterator",
        "kinesis/one_stream.py::OneStream._end",
        "return RecordsAnswer(Records(), None, 0, child_shards(self._listing.known, shard))",
        "return RecordsAnswer(Records(), self._encode(shard, position), 0, child_shards(self._listing.known, shard))",
        KCL,
    ),
)
