"""Runners on your own machine, for tests and benchmarks, from public package registries. Not part of the package."""
