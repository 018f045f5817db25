"""Run a pipeline of one's own as the commands run theirs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam

from beam_dynamodb_streams.commands.exit_codes import exit_codes
from beam_dynamodb_streams.commands.options.parser import Parser


def run_pipeline(pipeline: beam.Pipeline | Callable[[], beam.Pipeline], *, prog: str | None = None) -> Any:
    """Run a pipeline to its end, and return Beam's result. What ends it early ends the process, in one line.

    It is for programs, in place of `pipeline.run()` or `with beam.Pipeline()`:

        pipeline = beam.Pipeline()
        changes = pipeline | ReadFromDynamoDBStreams(table="orders")
        changes | WriteChangesToParquet("changes/")
        run_pipeline(pipeline)

    - An error of the connector, on whichever runner, is one line on stderr, and the process exits: with 2 where other
      options or another set-up avoid the error, with 1 otherwise. Any other error is raised as it is.
    - SIGINT (Ctrl-C) exits with 130 and SIGTERM with 143, without a traceback. What Beam started (Prism, a job server)
      ends with the process, and so does a job whose workers are in this process.
    - What Prism and the workers log at each start and end is left out.

    Beam's warning "apitools not found" at import is left out where this package is imported before `apache_beam`.

    Args:
        pipeline: the pipeline, or a function that builds and returns it. With a function, an error while the pipeline
            is built, such as a bad option, is one line too.
        prog: the name of the program in its errors. By default it is the one on the command line.

    Returns:
        The result of Beam's runner, once the pipeline has ended well.

    Raises:
        SystemExit: as above.
    """
    with exit_codes(Parser(prog or _program())) as run:
        return run(pipeline if isinstance(pipeline, beam.Pipeline) else pipeline())


def _program() -> str:
    """Return the program's name: `orders.py`, or `python -m shop.orders`."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    return Path(sys.argv[0] if sys.argv else "").name or "python"
