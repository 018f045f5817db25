"""What people run, and copy: each a short `build(...)` of Beam steps and a `main(argv)`."""

import logging
import re
from typing import Final

# Beam warns at each import for want of a Google library that nothing here uses, in the root logger's name, and of each
# start and end of Prism; Prism itself tells that it serves and is done.
_NOISE: Final = re.compile(r'apitools not found|Really (starting|destroying) service|\{.*"level":"(DEBUG|INFO)"')


def _tells(record: logging.LogRecord) -> bool:
    return _NOISE.match(record.getMessage()) is None


for _name in (None, "apache_beam.utils.subprocess_server", "PrismJobServer"):
    logging.getLogger(_name).addFilter(_tells)
