"""What people run, and copy: each a short `build(...)` of Beam steps and a `main(argv)`."""

import logging

# Beam warns at each import for want of a Google library that nothing here uses, in the root logger's name.
logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("apitools not found"))
