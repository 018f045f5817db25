"""Unbounded changes to files: while the pipeline runs, in several windows a bundle, late ones too."""

from __future__ import annotations

import time
from collections import Counter

import apache_beam as beam
import fastavro
import pyarrow.dataset as ds
import pytest
from apache_beam.runners.runner import PipelineState
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.window import FixedWindows
from apache_beam.utils.timestamp import Duration
from change_source import ChangesOverTime, Plan

from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.sinks import WriteChangesToAvro, WriteChangesToParquet
from beam_dynamodb_streams.sinks.windows import LATENESS_SECONDS, sink_windows


def changes_of(p: beam.Pipeline, plan: Plan) -> beam.PCollection:
    return p | beam.Create([plan]) | beam.ParDo(ChangesOverTime()).with_output_types(ChangeRecord)


def event_ids(directory) -> Counter[str]:
    return Counter(ds.dataset(directory, format="parquet").to_table(columns=["event_id"])["event_id"].to_pylist())


def expected(plan: Plan) -> Counter[str]:
    return Counter(f"event-{number}" for number in range(plan.rows))


def test_unbounded_input_without_windows_goes_to_minutes_that_wait_for_the_retention():
    windowing = sink_windows(changes_of(beam.Pipeline(), Plan(1, 1, 1)), None).get_windowing([])
    assert windowing.windowfn == FixedWindows(60)
    assert windowing.accumulation_mode == AccumulationMode.DISCARDING
    assert Duration.of(windowing.allowed_lateness) == LATENESS_SECONDS > 24 * 3600


def test_the_users_own_windows_are_kept_with_a_warning_where_they_drop_late_changes(caplog):
    own = changes_of(beam.Pipeline(), Plan(1, 1, 1)) | beam.WindowInto(FixedWindows(10), allowed_lateness=30)
    assert sink_windows(own, None) is None
    assert "allow a lateness of" in caplog.text
    assert f"allowed_lateness={LATENESS_SECONDS}" in caplog.text


@pytest.mark.prism
def test_files_appear_while_the_pipeline_runs_and_hold_every_change_once(tmp_path, prism_options):
    plan = Plan(rows=2_000, slice_rows=100, step=1, pause=0.2)  # a bundle spans ten windows
    p = beam.Pipeline(options=prism_options)
    changes = changes_of(p, plan)
    _ = changes | WriteChangesToParquet(tmp_path / "parquet", window=10)
    _ = changes | WriteChangesToAvro(tmp_path / "avro")
    result = p.run()
    while not list(tmp_path.glob("*/changes-*")) and not PipelineState.is_terminal(result.state):
        time.sleep(0.05)
    assert result.state == PipelineState.RUNNING
    seen = list((tmp_path / "parquet").glob("changes-*.parquet"))
    assert sum(ds.dataset([str(path)]).count_rows() for path in seen) < plan.rows

    result.wait_until_finish()
    assert result.state == PipelineState.DONE
    assert event_ids(tmp_path / "parquet") == expected(plan)
    rows = []
    for path in (tmp_path / "avro").glob("changes-*.avro"):
        with path.open("rb") as file:
            rows += [row["event_id"] for row in fastavro.reader(file)]
    assert Counter(rows) == expected(plan)


@pytest.mark.prism
def test_hundreds_of_windows_in_a_bundle_lose_no_change(tmp_path, prism_options):
    plan = Plan(rows=1_000, slice_rows=500, step=30)  # 250 minutes a bundle
    with beam.Pipeline(options=prism_options) as p:
        _ = changes_of(p, plan) | WriteChangesToParquet(tmp_path)
    assert event_ids(tmp_path) == expected(plan)


@pytest.mark.prism
def test_late_changes_go_to_files_of_their_own(tmp_path, prism_options):
    plan = Plan(rows=1_000, slice_rows=100, step=1, late_every=50, late_by=300)
    with beam.Pipeline(options=prism_options) as p:
        _ = changes_of(p, plan) | WriteChangesToParquet(tmp_path, window=100)
    assert event_ids(tmp_path) == expected(plan)
    late = {f"event-{number}" for number in range(49, plan.rows, 50)}
    in_file = [set(event_ids([str(path)])) for path in tmp_path.glob("changes-*.parquet")]
    assert all(ids <= late or not ids & late for ids in in_file)
