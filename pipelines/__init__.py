"""Programs to run from a checkout, and to copy: `python -m pipelines.export --help`.

They use the public surface of the package alone, and are not part of it: an installed package has the same commands as
`dynamodb-streams`.
"""

from beam_dynamodb_streams.commands import answer_help_of_module, quiet_import

answer_help_of_module(__name__, {"demo": "pipelines.demo_options"})  # before Beam is imported, which takes a second
with quiet_import():
    import apache_beam.io  # noqa: F401 - before the programs import it, so that its warning is not shown
