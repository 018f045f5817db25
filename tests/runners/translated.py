"""What a runner compares of two translations of a pipeline when it updates a job, as plain values."""

from __future__ import annotations

import hashlib
from typing import Any

from apache_beam.coders import Coder
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext

PICKLED = "beam:coder:pickled_python:v1"
PARDO = "beam:transform:pardo:v1"


def compared(proto: beam_runner_api_pb2.Pipeline) -> dict[str, Any]:
    """Return the requirements, the names, and the coders of a translated pipeline."""
    components = proto.components
    pardos = {
        transform.unique_name: beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
        for transform in components.transforms.values()
        if transform.spec.urn == PARDO
    }
    outputs = {
        transform.unique_name: [
            urn_of(proto, components.pcollections[output].coder_id) for _, output in sorted(transform.outputs.items())
        ]
        for transform in components.transforms.values()
    }
    return {
        "requirements": sorted(proto.requirements),
        "names": sorted(transform.unique_name for transform in components.transforms.values()),
        "outputs": outputs,
        "restrictions": {
            name: urn_of(proto, payload.restriction_coder_id)
            for name, payload in pardos.items()
            if payload.restriction_coder_id
        },
        "pickled_of_ours": pickled_of_ours(proto),
        "coders": hashlib.sha256(
            b"".join(sorted(coder.SerializeToString(deterministic=True) for coder in components.coders.values()))
        ).hexdigest(),
    }


def urn_of(proto: beam_runner_api_pb2.Pipeline, coder_id: str) -> str:
    """Return the URN of a coder, with those of its components in brackets."""
    coder = proto.components.coders[coder_id]
    parts = ", ".join(urn_of(proto, each) for each in coder.component_coder_ids)
    return coder.spec.urn + (f"[{parts}]" if parts else "")


def pickled_of_ours(proto: beam_runner_api_pb2.Pipeline) -> list[str]:
    """Return the classes of this package that a pickled coder holds."""
    context = PipelineContext(proto.components)
    pickled: list[Any] = [
        Coder.from_runner_api(coder, context) for coder in proto.components.coders.values() if coder.spec.urn == PICKLED
    ]
    return sorted(str(type(each)) for each in pickled if type(each).__module__.startswith("beam_dynamodb_streams"))
