"""The contracts of `.importlinter` hold for what they name only: here every slice and module turns out to be named."""

from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KERNEL = "apps.core"
# What knows the slices, or has a contract of its own.
NOT_RUNTIME = {"schema.root", "schema.engine", "schema.tests"}


def contract(name: str, key: str) -> set[str]:
    """The modules that a contract lists under `key`."""
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return set(contracts[f"importlinter:contract:{name}"][key].split())


def modules_in(package: str) -> set[str]:
    """What can be imported from the folder of `package`, by its full name."""
    files = [*(ROOT / package).glob("*.py"), *(path.parent for path in (ROOT / package).glob("*/__init__.py"))]
    return {f"{package}.{file.stem}" for file in files if file.stem != "__init__"}


SLICES = modules_in("apps") - {KERNEL}


def test_there_are_slices() -> None:
    assert {"apps.users", "apps.posts", "apps.comments"} <= SLICES


@pytest.mark.parametrize(
    ("name", "key"),
    [("slices", "layers"), ("within-users", "containers"), ("runtime-without-domain", "forbidden_modules")],
)
def test_every_slice_is_under_contract(name: str, key: str) -> None:
    assert contract(name, key) >= SLICES


def test_every_module_of_the_runtime_is_under_contract() -> None:
    assert contract("runtime-without-domain", "source_modules") == modules_in("schema") - NOT_RUNTIME
