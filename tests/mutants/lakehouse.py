"""Mutants of what commits each file to a table once, and keeps a mirror from going back (traps 43 to 46)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

COMPACTED = "lakehouse/test_commit.py::test_a_compacted_or_rewritten_table_gets_no_file_again"
TWO = "lakehouse/test_commit.py::test_two_that_commit_the_same_files_at_once_commit_each_once"

MUTANTS = (
    Mutant(
        43,
        "what was committed to a Delta table is not read from its transactions",
        "lakehouse/delta.py::LoadedDeltaTable.number_of",
        "return NOTHING if found is None else found",
        "return NOTHING",
        COMPACTED,
    ),
    Mutant(
        43,
        "what was committed to an Iceberg table is not read from its properties",
        "lakehouse/iceberg.py::LoadedIcebergTable.number_of",
        'return int(self.table.properties.get(f"{BATCH}{output}", NOTHING))',
        "return NOTHING",
        COMPACTED,
    ),
    Mutant(
        44,
        "pyiceberg repeats the commit on whatever was committed meanwhile",
        "lakehouse/iceberg.py::LoadedIcebergTable.add",
        'no_retries = {**table.metadata.properties, TableProperties.COMMIT_NUM_RETRIES: "0"}',
        "no_retries = {**table.metadata.properties}",
        f"{TWO}[iceberg]",
    ),
    Mutant(
        45,
        "a file that is in place counts as finished",
        "lakehouse/finished.py::finished_files",
        "finished |= named.intersection(new) | old",
        "finished |= set(new)",
        "lakehouse/test_commit.py::test_a_file_without_its_manifest_is_not_committed",
    ),
    Mutant(
        45,
        "an old file counts as finished although it has a mark",
        "lakehouse/finished.py::finished_files",
        "old = {path for path in new if path not in recent and mark_path(path) not in marks}",
        "old = {path for path in new if path not in recent}",
        "lakehouse/test_commit.py::test_a_mark_alone_keeps_an_old_file_out",
    ),
    Mutant(
        46,
        "deletes are not remembered",
        "lakehouse/mirror.py::MirrorTable._merge_once",
        "newer = deletes.newer_than_deletes(rows)",
        "newer = rows",
        "lakehouse/test_mirror.py::test_an_older_change_never_brings_a_deleted_item_back",
    ),
    Mutant(
        46,
        "the deletes of a merge that changes no row are forgotten",
        "lakehouse/mirror.py::MirrorTable._commit",
        "number is not None and table.table.version() == before",
        "False",
        "lakehouse/test_mirror.py::test_a_delete_of_an_item_that_the_mirror_never_had_is_remembered_too",
    ),
)
