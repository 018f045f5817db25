"""The options of each command: a module for each, with a `parser_of(prog)` that returns the command's parser.

Nothing here imports Beam, Arrow or botocore when it is imported, so that `--help` and the completion of a shell answer
at once. The commands themselves are the modules beside this folder.
"""
