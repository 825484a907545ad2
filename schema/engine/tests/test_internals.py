"""The engine leans on private parts of two libraries: it is read against their sources before a version changes."""

from importlib.metadata import version

from schema.engine.internals import VERSIONS


def test_the_libraries_are_the_versions_that_the_engine_was_read_against() -> None:
    assert {name: version(name) for name in VERSIONS} == VERSIONS
