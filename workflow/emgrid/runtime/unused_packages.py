"""Packages that a job has no use for, kept out of it.

transformers and peft import what they find installed: scikit-learn to draft tokens with a helper
model, bitsandbytes for weights in 4 bits. That takes a job a second and a half, each time.
"""

import sys

UNUSED = ("sklearn", "bitsandbytes")


def leave_out(*packages: str) -> None:
    """Let packages that are not imported yet count as not installed, in this process."""
    for package in packages:
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
