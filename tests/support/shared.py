"""Data sets, judged answers and small inputs that lie beside the checkout."""

from pathlib import Path

from emgrid import ROOT

from support.needs import lacking

SHARED = ROOT.parent / "shared"


def shared(name: str) -> Path:
    """A file or folder beside the checkout; without it a test skips, in CI it fails."""
    path = SHARED / name
    if not path.exists():
        lacking(f"nothing at {path}, which this test reads")
    return path
