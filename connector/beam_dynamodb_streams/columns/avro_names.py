"""Attribute names as Avro names, and back.

DynamoDB takes any text as a name, Avro only ``[A-Za-z_][A-Za-z0-9_]*``. A character that may not stand where it stands
becomes ``_xHHHH_``, its code point in four to six upper-case hexadecimal digits: ``order-id`` is ``order_x002D_id`` and
``1st`` is ``_x0031_st``. An underscore before ``x`` and four such digits, which would read as an escape, is escaped
itself. So no two names become one, each can be read back, and a name that Avro takes stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

_ILLEGAL: Final = re.compile(r"^[0-9]|[^A-Za-z0-9_]|_(?=x[0-9A-F]{4})")
_ESCAPE: Final = re.compile(r"_x([0-9A-F]{4,6})_")


def avro_name(name: str) -> str:
    return _ILLEGAL.sub(lambda found: f"_x{ord(found[0]):04X}_", name)


def attribute_name(name: str) -> str:
    """The inverse of `avro_name`."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)
