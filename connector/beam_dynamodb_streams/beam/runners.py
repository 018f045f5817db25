"""How long Beam's driver waits for a job that runs on Prism or behind another job server."""

from __future__ import annotations

from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

_UNSET: Final = 300
LONGEST_RUN_SECONDS: Final = 10 * 365 * 24 * 3600


def wait_for_long_runs(options: PipelineOptions) -> None:
    """Raises ``--job_server_timeout`` where it has Beam's own default of 300 seconds.

    Beam (2.77) puts that limit on the stream of a job's states, so that a pipeline which runs well ends after five
    minutes with DEADLINE_EXCEEDED, though the option's help says that it does not apply to a pipeline's run time.
    """
    portable = options.view_as(PortableOptions)
    if portable.job_server_timeout == _UNSET:
        portable.job_server_timeout = LONGEST_RUN_SECONDS
