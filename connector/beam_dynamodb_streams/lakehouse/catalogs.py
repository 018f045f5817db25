"""Iceberg catalogs in the forms that `CommitToIceberg` takes, and in one that travels to workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.lakehouse.extras import said

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

CatalogSpec: TypeAlias = "str | Mapping[str, str] | Catalog | Callable[[], Catalog]"


def portable_catalog(catalog: CatalogSpec) -> str | dict[str, str] | Callable[[], Catalog]:
    """Return a catalog in a form that travels to workers.

    Raises:
        InvalidOptionError: It is none of the forms that `CommitToIceberg` documents, or lives in this process alone.
    """
    from pyiceberg.catalog import Catalog

    if isinstance(catalog, Catalog):
        if "memory" in type(catalog).__name__.lower() or ":memory:" in str(catalog.properties.get("uri")):
            raise InvalidOptionError(
                f"catalog={catalog.name!r} is in the memory of this process, where no worker finds it: use a catalog"
                ' that is stored, as in {"uri": "sqlite:///lake.db", "warehouse": "lake"}'
            )
        return partial(type(catalog), catalog.name, **_absolute(dict(catalog.properties)))
    if isinstance(catalog, str) and catalog.strip():
        return catalog
    if isinstance(catalog, Mapping) and catalog:
        return _absolute(dict(catalog))
    if callable(catalog):
        return catalog
    raise InvalidOptionError(
        f"catalog={catalog!r} is not a catalog: give the name of one that pyiceberg is configured for, its properties"
        ' as in {"uri": "sqlite:///lake.db", "warehouse": "lake"}, a pyiceberg Catalog, or a function that returns one'
    )


def _absolute(properties: dict[str, str]) -> dict[str, str]:
    """Return the properties with absolute paths where SQLite has the catalog: workers may run in another directory."""
    found = dict(properties)
    uri, warehouse = str(found.get("uri", "")), str(found.get("warehouse", ""))
    prefix, _, path = uri.partition(":///")
    if prefix.partition("+")[0] != "sqlite":
        return found
    if path and not path.startswith(("/", ":")):
        found["uri"] = f"{prefix}:///{os.path.abspath(path)}"
    if warehouse and "://" not in warehouse:
        found["warehouse"] = f"file://{os.path.abspath(warehouse)}"
    return found


def open_catalog(catalog: str | dict[str, str] | Callable[[], Catalog]) -> Catalog:
    """Return the catalog. Raises InvalidOptionError if it cannot be loaded."""
    from pyiceberg.catalog import load_catalog

    try:
        if callable(catalog):
            return catalog()
        if isinstance(catalog, str):
            return load_catalog(catalog)
        properties = {name: value for name, value in catalog.items() if name != "name"}
        return load_catalog(catalog.get("name", "default"), **properties)
    except Exception as error:  # each catalog raises what its client raises
        what = repr(catalog) if isinstance(catalog, str) else "with these properties"
        raise InvalidOptionError(
            f"the catalog {what} cannot be loaded ({said(error)}): name one of pyiceberg's configuration"
            " (~/.pyiceberg.yaml or PYICEBERG_CATALOG__NAME__URI), or give its properties, such as uri and warehouse"
        ) from error
