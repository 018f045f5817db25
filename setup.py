"""All metadata is in pyproject.toml. This file is here for Beam, whose `--setup_file ./setup.py` needs one."""

from setuptools import setup

setup()
