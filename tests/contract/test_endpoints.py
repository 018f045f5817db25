"""What each endpoint lacks of the service, so that it is known what its runs of the contract do not show."""

from __future__ import annotations

import pytest

from tests.contract.endpoints import Endpoint
from tests.contract.lacks import KNOWN, lacks


def test_what_an_endpoint_lacks_is_known(endpoint: Endpoint) -> None:
    """Another endpoint's gaps are named in the summary of the run."""
    found = lacks(endpoint)
    known = KNOWN.get(endpoint.name)
    if known is None:
        pytest.skip(f"{endpoint.url} lacks: {', '.join(sorted(found)) or 'nothing that is asked for here'}")
    assert found == known
