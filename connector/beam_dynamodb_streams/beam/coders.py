"""The base of this package's coders, and what a translated pipeline says of them.

A runner that updates a job, such as Dataflow, compares the coders of both pipelines as they are translated. Beam's
default is a pickle with the module and the class inside, so a class that moves looks like another coder. These coders
have a URN instead, with a version in it: `beam-dynamodb-streams:coder:stream_read:v1`.

A worker must have imported this package before it decodes such a URN, and a stage may name the coder before any
function of ours is loaded. Beam's workers import what `--beam_plugins` names, and the read adds this package there.
Workers of a bare pool (`--environment_type=EXTERNAL`) do not: for them the translation is a pickle of `coder_named` and
a name, and of no class.
"""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, get_type_hints

from apache_beam import coders

from beam_dynamodb_streams.beam.runners import workers_import_plugins

if TYPE_CHECKING:
    from apache_beam.runners.pipeline_context import PipelineContext

#: The module that defines all coders. Its name is not an import: it is above this module.
PLUGIN: Final = "beam_dynamodb_streams.source.coders"
URN_PREFIX: Final = "beam-dynamodb-streams:coder:"
ROW_PREFIX: Final = "beam-dynamodb-streams:row:"

_BY_NAME: Final[dict[str, type[NamedCoder]]] = {}


class NamedCoder(coders.Coder):
    """A coder that a translation names.

    Each subclass has a `name` with a version, such as "stream_read:v1". Runners store the name: it never changes, and
    gets another version if the bytes change so that a runner must not mix them.
    """

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in cls.__dict__:  # an author's own variant is another coder
            return
        _BY_NAME[cls.name] = cls
        coders.Coder.register_urn(URN_PREFIX + cls.name, None, lambda _payload, parts, _context: cls(*parts))

    def parts(self) -> tuple[coders.Coder, ...]:
        """Return the coders that it is made of."""
        return ()

    def to_runner_api_parameter(self, context: PipelineContext | None) -> tuple[str, Any, Any]:
        if context is not None and "name" in type(self).__dict__ and workers_import_plugins(context):
            return f"{URN_PREFIX}{self.name}", None, self.parts()
        return super().to_runner_api_parameter(context)  # type: ignore[no-any-return]  # Beam is untyped

    def __reduce__(self) -> str | tuple[Any, ...]:
        if "name" not in type(self).__dict__:
            return super().__reduce__()  # type: ignore[no-any-return]  # Beam is untyped
        return coder_named, (self.name, *self.parts())


class OwnCoder(NamedCoder):
    """A coder without state: deterministic, and equal by type."""

    hint: ClassVar[type]

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return self.hint

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


def register_row(kind: type, name: str) -> None:
    """Make Beam encode the elements of a named tuple as rows. Calling it again changes nothing.

    The schema has the same id in every process, so that a worker decodes rows to the class, and a runner that updates a
    job finds the same coder. Annotations that are text become types: Beam (2.77) takes text for `Any`.

    Args:
        kind: The named tuple.
        name: The name of its schema, with a version.
    """
    kind.__annotations__ = get_type_hints(kind)
    kind._beam_schema_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ROW_PREFIX}{name}"))  # type: ignore[attr-defined]  # Beam reads it
    coders.registry.register_row(kind)


def coder_named(name: str, *parts: coders.Coder) -> NamedCoder:
    """Return the coder of this name. Pickles refer to this function by its module: it never moves."""
    import_module(PLUGIN)
    return _BY_NAME[name](*parts)
