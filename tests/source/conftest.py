"""The bench of the reader, for the tests of what the source delivers."""

from tests.reader.conftest import bench  # noqa: F401 - a fixture
