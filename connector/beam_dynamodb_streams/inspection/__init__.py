"""A stream and the applications that read it, as plain values: what `dynamodb-streams inspect` shows.

Notebooks use them too. Nothing here parses arguments or prints.
"""
