"""The only place that knows Beam's insides.

- `private` lists every name that the package uses and that Beam does not promise to keep.
- `runners` has one row of traits for each runner.
- `graph` looks at the steps of a pipeline.
- `checked_read` refuses, before anything is read, a pipeline that its runner cannot run.

To move to a new Beam, run `tests/test_beam_insides.py` first: a test that fails says by name what moved.
"""
