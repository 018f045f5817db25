"""Mutants of records and of what is stored of them: values, images, repeats, time, progress (traps 16 to 19 and 21)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

VALUES = "records/values.py"
RECORD = "records/record.py"
ENVELOPE = "records/envelope.py"
DELIVERY = "reader/page.py"
ANSWERS = "reader/answers.py"
READER = "reader/reader.py"

MUTANTS = (
    Mutant(
        16,
        "numbers are floats",
        f"{VALUES}::_untag",
        'if not content.is_finite(): raise ValueError("a number is finite")',
        "content = Decimal(float(content))",
        "properties/test_values.py::test_legal_numbers_that_boto3_raises_on_are_decoded_exactly",
    ),
    Mutant(
        16,
        "numbers are made in boto3's decimal context, which traps Inexact and Rounded",
        f"{VALUES}::_untag",
        'if not content.is_finite(): raise ValueError("a number is finite")',
        "from boto3.dynamodb.types import DYNAMODB_CONTEXT\ncontent = DYNAMODB_CONTEXT.create_decimal(str(content))",
        "properties/test_values.py::test_legal_numbers_that_boto3_raises_on_are_decoded_exactly",
    ),
    Mutant(
        16,
        "numbers are rounded to the ambient decimal context",
        f"{VALUES}::_untag",
        'if not content.is_finite(): raise ValueError("a number is finite")',
        "content = +content",
        "properties/test_values.py::test_no_decimal_context_changes_a_number_or_makes_it_raise",
    ),
    Mutant(
        16,
        "the numbers of a set are rounded to the ambient decimal context",
        f"{VALUES}::_untag",
        'if tag == "NS" and not all(map(Decimal.is_finite, content)): ...',
        'if tag == "NS": content = {+each for each in content}',
        "properties/test_values.py::test_no_decimal_context_changes_a_number_or_makes_it_raise",
    ),
    Mutant(
        17,
        "a missing new image is an empty item",
        f"{ENVELOPE}::change_records",
        "change.new_image",
        'change.new_image or msgspec.Raw(b"{}")',
        "source/test_records_delivered.py::test_what_the_view_or_the_kind_of_change_leaves_out_is_none",
    ),
    Mutant(
        17,
        "a missing old image is an empty item",
        f"{ENVELOPE}::change_records",
        "change.old_image",
        'change.old_image or msgspec.Raw(b"{}")',
        "source/test_records_delivered.py::test_what_the_view_or_the_kind_of_change_leaves_out_is_none",
    ),
    Mutant(
        17,
        "an image that is null is an item",
        "wire/envelope.py::drop_nulls",
        "if change.new_image == _NULL: change.new_image = None",
        "",
        "wire/test_wire_pages.py::test_an_explicit_null_is_absent",
    ),
    Mutant(
        17,
        "a change without images has no keys in its columns",
        "columns/batch.py::Columns._rows",
        "any(one is None and other is None for one, other in zip(new, old, strict=True))",
        "False",
        "columns/test_columns.py::test_keys_come_from_either_image_or_from_the_keys_alone",
    ),
    Mutant(
        18,
        "a repeat is given an id of its own",
        f"{ENVELOPE}::change_records",
        "entry.event_id",
        'f"{entry.event_id}-{id(entry)}"',
        "source/test_slice.py::test_a_repeated_change_has_the_same_event_id",
    ),
    Mutant(
        18,
        "the id is lost where a runner stores a record",
        "records/encoding.py::decode_fields",
        "return fields",
        "return (fields[2], *fields[1:])",
        "records/test_beam_coders.py::test_the_coder_ships_the_json_as_it_is_and_brings_back_an_equal_record",
    ),
    Mutant(
        18,
        "a shuffle stands between the source and the next step",
        "source/transform.py::ReadFromDynamoDBStreams._read",
        'changes = started | "Read" >> ...',
        'changes = started | "Read" >> ... | beam.Reshuffle()',
        "source/test_records_delivered.py::test_no_shuffle_is_between_the_source_and_the_next_step",
    ),
    Mutant(
        18,
        "a pipeline whose real-time timer makes Beam pick another runner is not refused",
        "source/start.py::StartRead.process",
        "refuse_workers_without_splittable_dofns()",
        "None",
        "runners/test_refusal.py::test_a_pipeline_that_makes_beam_pick_bundle_based_direct_runner_is_refused",
    ),
    Mutant(
        19,
        "the watermark is the newest record's creation time",
        f"{DELIVERY}::deliver",
        "(newest - rules.slack) * MICROS",
        "newest * MICROS",
        "reader/test_reader_checkpoints.py::test_disorder_within_the_slack_makes_no_record_late",
    ),
    Mutant(
        19,
        "an idle shard's watermark is now",
        f"{ANSWERS}::Answers._empty_page",
        "int((read.asked - self.rules.slack) * MICROS)",
        "int(read.asked * MICROS)",
        "reader/test_reader_stop.py::test_the_first_record_after_an_idle_time_is_not_late",
    ),
    Mutant(
        19,
        "the first record past the stop ends its shard",
        f"{DELIVERY}::deliver",
        "newest > rules.stop + rules.slack",
        "newest > rules.stop",
        "reader/test_reader_stop.py::test_a_stop_delivers_what_comes_out_of_order_around_it",
    ),
    Mutant(
        19,
        "a record from the future moves the watermark, and ends its shard",
        f"{DELIVERY}::deliver",
        "read.asked + AHEAD_SECONDS",
        "1e12",
        "reader/test_page.py::test_a_record_from_the_future_ends_no_shard_and_moves_no_watermark",
    ),
    Mutant(
        19,
        "a record from the future is past the stop, and never delivered",
        f"{DELIVERY}::deliver",
        "(created := record.creation_time) < end or created > latest",
        "record.creation_time < end",
        "reader/test_page.py::test_a_record_from_the_future_leaves_no_gap_before_a_stop_and_ends_no_shard",
    ),
    Mutant(
        19,
        "a stop is past though its own second is not over",
        f"{DELIVERY}::Rules.past_stop",
        "moment > self.stop + 1 + self.slack",
        "moment > self.stop + self.slack",
        "reader/test_page.py::test_a_stop_is_past_once_its_second_and_the_slack_are_over",
    ),
    Mutant(
        19,
        "a start in the middle of a second misses the records of that second",
        "shards/start_stop.py::_second",
        "(moment - _EPOCH) // timedelta(seconds=1)",
        "-((_EPOCH - moment) // timedelta(seconds=1))",
        "shards/test_start_stop.py::test_a_moment_is_floored_to_the_services_second",
    ),
    Mutant(
        19,
        "an older page takes the watermark back",
        "shards/frontier.py::Frontier.advance",
        "after = Reading(position, max(watermark, before.watermark), hint)",
        "after = Reading(position, watermark, hint)",
        "reader/test_page.py::test_older_records_do_not_take_the_watermark_back",
    ),
    Mutant(
        19,
        "the watermark goes back after a restore",
        "source/restriction.py::StreamWatermark.advance",
        "self._micros = max(self._micros, micros)",
        "self._micros = micros",
        "source/test_watermark.py::test_what_is_restored_is_not_undercut_by_a_reader_that_knows_less",
    ),
    Mutant(
        19,
        "one shard's records move the watermark of all",
        "shards/frontier.py::Frontier.watermark",
        "return min((reading.watermark for reading in self.shards.values()), default=EARLIEST)",
        "return max((reading.watermark for reading in self.shards.values()), default=EARLIEST)",
        "shards/test_discovery.py::test_the_watermark_is_the_minimum_and_waits_for_children_that_are_still_to_come",
    ),
    Mutant(
        21,
        "records are emitted after the checkpoint",
        "source/dofn.py::_ReadStream._slice",
        "if not tracker.try_claim(claim.frontier): ...",
        "tracker.try_claim(claim.frontier)",
        "source/test_slice.py::test_a_step_whose_claim_is_refused_is_not_emitted",
    ),
    Mutant(
        21,
        "records are emitted without a claim",
        "source/dofn.py::_ReadStream._slice",
        (
            "if not tracker.try_claim(claim.frontier): ...\n"
            "elements = emitted.elements if bundle is None else bundle.emitted(emitted.elements)\n"
            "_log(stream_arn, claim, emitted)\n"
            "DELIVERIES.delivers(self._options.source, owner_of(element.run), claim.shard, stream_arn)\n"
            "yield from elements"
        ),
        (
            "elements = emitted.elements if bundle is None else bundle.emitted(emitted.elements)\n"
            "_log(stream_arn, claim, emitted)\n"
            "yield from elements\n"
            "if not tracker.try_claim(claim.frontier): return"
        ),
        "source/test_slice.py::test_a_checkpoint_amid_a_bundle_covers_what_is_emitted_and_no_more",
    ),
    Mutant(
        21,
        "a claim is accepted after the checkpoint",
        "source/restriction.py::FrontierTracker.try_claim",
        "if self._checkpointed: return False",
        "",
        "source/test_restriction.py::test_a_claim_after_the_checkpoint_is_refused_and_moves_nothing",
    ),
    Mutant(
        21,
        "the checkpoint keeps nothing for the next bundle",
        "source/restriction.py::FrontierTracker.try_split",
        "residual, self._frontier = self._frontier, self._frontier.close()",
        "residual = self._frontier = self._frontier.close()",
        "source/test_restriction.py::test_a_checkpoint_puts_everything_unclaimed_into_the_residual",
    ),
    Mutant(
        21,
        "a page that was asked for ahead of a claim is taken for the next one",
        f"{READER}::Reader._take",
        "request.position != frontier.shards[request.shard].position",
        "False",
        "reader/test_reader_ahead.py::test_a_page_asked_for_ahead_of_a_lost_claim_is_not_taken_for_the_next",
    ),
    Mutant(
        21,
        "a saved position goes to the record folded last",
        "shards/stream_position.py::StreamPosition.merge",
        "known is None or is_at_or_past(position, known)",
        "True",
        "shards/test_stream_position.py::test_records_may_be_folded_in_any_order_and_more_than_once",
    ),
    Mutant(
        21,
        "a resumed read begins at its start for shards whose position was saved",
        "shards/growth.py::Growth.open",
        "self.saved.pop(shard, position)",
        "position",
        "shards/test_discovery.py::test_a_shard_begins_at_its_saved_position",
    ),
)
