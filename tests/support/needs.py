"""What tests need beside the repository: programs, packages, rights, files."""

import os
from typing import NoReturn

import pytest


def lacking(message: str) -> NoReturn:
    """End a test, or a whole file of them, for want of something: where a user runs the tests that
    is a skip, as not everybody can have it; in CI, where all of it is installed, a failure."""
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message, allow_module_level=True)
