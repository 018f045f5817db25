"""Exports of a table to S3: their manifests, their files, and their rows as changes.

`export-table-to-point-in-time` writes a folder `PREFIX/AWSDynamoDB/<ExportId>/`: a summary, a list of data files, and
the data, one row a line. A full export has the items of the table at one moment. An incremental export has the net
change of each item between two moments. `exports.summary` is pure; `exports.folder` reads with Beam's filesystems, so
that a folder may be local or in any store that Beam knows.
"""
