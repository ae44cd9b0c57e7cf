"""Fixtures of the judges' tests."""

from collections.abc import Iterator

import pytest
from emgrid import ROOT
from support.chat_judging import KEY
from support.judging import VARIABLE


@pytest.fixture(scope="module")
def endpoint_environment() -> Iterator[None]:
    """The key that the fake endpoint asks for, and no address or key of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        # Nothing here needs certificates, and to read them takes as long as a whole test.
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(ROOT / "tests"))
        patch.setenv(VARIABLE, KEY)
        patch.delenv("OPENAI_API_KEY", raising=False)
        patch.delenv("OPENAI_BASE_URL", raising=False)
        yield
