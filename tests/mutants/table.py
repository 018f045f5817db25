"""The traps of DynamoDB Streams, each a bug that a reader has shipped, and what disables our handling of each."""

from __future__ import annotations

from tests.mutants import calls, data_streams, kinesis, lakehouse, lineage, pages, records, snapshots
from tests.mutants.mutant import Mutant

TRAPS = {
    1: "the last page brings records and no next iterator",
    2: "children start at the trim horizon",
    3: "LATEST without a record has no sequence number",
    4: "sequence numbers are integers in text",
    5: "an empty page is neither the end nor caught up",
    6: "listings page and lie",
    7: "shards never seen before must be found while running",
    8: "parent before child",
    9: "iterators expire",
    10: "records are trimmed before they are read",
    11: "a shard vanishes",
    12: "a shard read to its end stays listed",
    13: "a checkpoint is several generations old",
    14: "a stream is disabled, or enabled again",
    15: "throttles and faults are delays",
    16: "legal numbers that boto3 raises on",
    17: "images are absent by design",
    18: "repeats carry the same event id, and a shuffle loses the order",
    19: "creation time is floored and only roughly monotonic",
    20: "a parent's end is handed to its children in one step with the checkpoint",
    21: "progress is stored for what was delivered only",
    22: "an answer with status 200 may be no page, and an empty text is absent",
    23: "on a stream older than a day the oldest shards name parents that are trimmed",
    24: "a fault may never pass",
    25: "a page may be repeated for ever, or go back",
    26: "the clocks of the hosts differ, and one refuses the moment of another",
    27: "a shard may end without children though its stream is enabled",
    28: "a Date header may be wrong, garbage, or say UTC as -0000",
    29: "an answer may trickle",
    30: "KCL 2 and 3 and the SDK for JavaScript speak HTTP/2 alone",
    31: "a KCL reads nothing unless the hash ranges tile the space",
    32: "a KCL refuses an only child that names its parent once",
    33: "a consumer that gets a shard's end without its children never asks again",
    34: "Kinesis moves a position older than its horizon to the horizon, without a word",
    35: "the child of a merge has two parents",
    36: "each record in a data stream has a unit of time of its own",
    37: "a scan is no snapshot: a row may be older than a change that was delivered",
    38: "a scan's key belongs to its segment, and only an absent one ends it",
    39: "an export may be filtered, of another table, cut off, or have a hole before it",
    40: "an export and the stream overlap, in no common order",
    41: "a table that was deleted and created again has the same name and other items",
    42: "the deletions of a loss are in no stream",
    43: "what a lakehouse table lists at present does not say what was committed",
    44: "a library repeats a commit on whatever was committed meanwhile",
    45: "a file that is in place may be written again",
    46: "an older change brings a deleted item back",
}

MUTANTS: tuple[Mutant, ...] = tuple(
    sorted(
        [
            *pages.MUTANTS,
            *calls.MUTANTS,
            *data_streams.MUTANTS,
            *kinesis.MUTANTS,
            *lakehouse.MUTANTS,
            *lineage.MUTANTS,
            *records.MUTANTS,
            *snapshots.MUTANTS,
        ],
        key=lambda mutant: mutant.trap,
    )
)
