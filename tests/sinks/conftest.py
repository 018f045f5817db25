"""The runners of the sink tests."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import PipelineOptions


@pytest.fixture
def options() -> PipelineOptions:
    return PipelineOptions(["--runner=FnApiRunner"])


@pytest.fixture
def prism_options(prism: str) -> PipelineOptions:
    return PipelineOptions(
        ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error", "--streaming"]
    )
