"""What the command lines share."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PortableOptions, StandardOptions

from pipelines.arguments import LONGEST_RUN_SECONDS, beam_options


def test_a_command_is_not_given_up_after_five_minutes() -> None:
    """Beam's own default ends every unbounded pipeline on Prism then, with DEADLINE_EXCEEDED."""
    assert beam_options([]).view_as(PortableOptions).job_server_timeout == LONGEST_RUN_SECONDS


def test_what_the_command_line_says_wins() -> None:
    options = beam_options(["--job_server_timeout=60", "--runner=FlinkRunner"], runner="PrismRunner")
    assert options.view_as(PortableOptions).job_server_timeout == 60
    assert options.view_as(StandardOptions).runner == "FlinkRunner"
