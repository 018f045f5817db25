"""Engines for a machine of one's own, started from what package registries serve. Not part of the package."""
