"""emgrid: experiment grids for conditional misalignment."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("emgrid")
except PackageNotFoundError:  # run from a checkout that nobody installed
    __version__ = "0+unknown"

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "resources"
