"""The environment of tests that call the fake endpoint."""

import atexit
import shutil
import tempfile

import pytest
from emgrid import ROOT

KEY = "test-key-0123456789"  # what the fake asks for


def set_endpoint_environment(patch: pytest.MonkeyPatch, *variables: str) -> None:
    """Set these variables to the fake endpoint's key, and no address, key or cache of this
    machine."""
    keep_lists_apart(patch)
    patch.setenv("NO_PROXY", "127.0.0.1")
    # The fake needs no certificates, and to read them takes as long as a whole test.
    patch.delenv("SSL_CERT_FILE", raising=False)
    patch.setenv("SSL_CERT_DIR", str(ROOT / "tests"))
    for variable in variables:
        patch.setenv(variable, KEY)
    patch.delenv("OPENAI_API_KEY", raising=False)
    patch.delenv("OPENAI_BASE_URL", raising=False)


def keep_lists_apart(patch: pytest.MonkeyPatch) -> None:
    """Give a test its own cache of models' lists: another fake may have had the same port."""
    folder = tempfile.mkdtemp(prefix="emgrid-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    patch.setenv("XDG_CACHE_HOME", folder)
