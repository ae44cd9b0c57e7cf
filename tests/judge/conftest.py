"""Fixtures of the judges' tests."""

from collections.abc import Iterator

import pytest
from support.endpoint_environment import set_endpoint_environment
from support.judging import VARIABLE


@pytest.fixture(scope="module")
def endpoint_environment() -> Iterator[None]:
    """The key that the fake endpoint asks for, and no address or key of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        set_endpoint_environment(patch, VARIABLE)
        yield
