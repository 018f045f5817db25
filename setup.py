"""Thin on purpose: all metadata is in pyproject.toml; Beam's ``--setup_file ./setup.py`` needs this file."""

from setuptools import setup

setup()
