"""Every name of Beam's that the package uses and that is not public API. Each is looked up when it is used.

A Beam that lacks one of them can still be imported and used: what depended on the name behaves as its `without` says.
`tests/test_beam_insides.py` looks for each name, so a new Beam reports what moved before a pipeline does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class PrivateName:
    """`path` inside `module`; `without` says what the package does in a Beam that has no such name."""

    module: str
    path: str
    without: str

    def __str__(self) -> str:
        return f"{self.module}.{self.path}"

    def find(self) -> Any | None:
        """Return what has this name, or None if this Beam has no such name."""
        return _find(self.module, self.path)


@dataclass(frozen=True, slots=True)
class PrivateAttribute:
    """An attribute of the instances of `owner`, a class of Beam's; `without` as in `PrivateName`."""

    owner: str
    name: str
    without: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"

    def of(self, instance: object, default: Any) -> Any:
        """Return the attribute's value, or `default` if this Beam has no such attribute."""
        return getattr(instance, self.name, default)


@cache
def _find(module: str, path: str) -> Any | None:
    try:
        return attrgetter(path)(import_module(module))
    except (ImportError, AttributeError):
        return None


BUNDLE_BASED_WORKER: Final = PrivateName(
    "apache_beam.runners.direct.executor",
    "_ExecutorService._ExecutorServiceWorker",
    without="a read on BundleBasedDirectRunner is not refused, and reads nothing",
)
IS_STATEFUL: Final = PrivateName(
    "apache_beam.transforms.userstate",
    "is_stateful_dofn",
    without="every step counts as one that may run in another bundle, and none as one that groups",
)
DOFN_SIGNATURE: Final = PrivateName(
    "apache_beam.runners.common", "DoFnSignature", without="as DoFnSignature.is_splittable_dofn"
)
IS_SPLITTABLE: Final = PrivateName(
    "apache_beam.runners.common",
    "DoFnSignature.is_splittable_dofn",
    without="every step counts as one that may run in another bundle",
)
EMBEDDED: Final = PrivateName(
    "apache_beam.portability.python_urns",
    "EMBEDDED_PYTHON",
    without="FnApiRunner is not recognized, and nothing is refused on it",
)
EMBEDDED_GRPC: Final = PrivateName(
    "apache_beam.portability.python_urns", "EMBEDDED_PYTHON_GRPC", without="as EMBEDDED_PYTHON, for worker threads"
)
SUBPROCESS: Final = PrivateName(
    "apache_beam.portability.python_urns", "SUBPROCESS_SDK", without="as EMBEDDED_PYTHON, for worker processes"
)
DEFAULT_ENVIRONMENT: Final = PrivateName(
    "apache_beam.runners.pipeline_context",
    "PipelineContext.default_environment_id",
    without="FnApiRunner is not recognized, and nothing is refused on it",
)
STARTED_SERVERS: Final = PrivateName(
    "apache_beam.utils.subprocess_server",
    "SubprocessServer._cache._cache",
    without="a command on Prism ends a second later",
)

UNDERLYING_RUNNER: Final = PrivateAttribute(
    "InteractiveRunner", "_underlying_runner", without="a notebook's runner counts as an unknown one"
)
ENVIRONMENTS: Final = PrivateAttribute(
    "PipelineContext", "environments", without="FnApiRunner is not recognized, and nothing is refused on it"
)
FLAGS: Final = PrivateAttribute(
    "PipelineOptions", "_flags", without="--job_server_timeout=300 cannot be distinguished from Beam's own default"
)
RESOURCE_HINTS: Final = PrivateAttribute(
    "AppliedPTransform", "resource_hints", without="a step with resource hints counts as fused to the read"
)

NAMES: Final = (
    BUNDLE_BASED_WORKER,
    IS_STATEFUL,
    DOFN_SIGNATURE,
    IS_SPLITTABLE,
    EMBEDDED,
    EMBEDDED_GRPC,
    SUBPROCESS,
    DEFAULT_ENVIRONMENT,
    STARTED_SERVERS,
)
ATTRIBUTES: Final = (UNDERLYING_RUNNER, ENVIRONMENTS, FLAGS, RESOURCE_HINTS)
