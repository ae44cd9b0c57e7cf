"""Keeps packages that a job does not use from being imported.

transformers and peft import optional packages if they are installed: scikit-learn (to draft tokens
with an assistant model) and bitsandbytes (for 4-bit weights). That takes 1.5 seconds per job.
"""

import sys

UNUSED = ("sklearn", "bitsandbytes")


def leave_out(*packages: str) -> None:
    """Make packages that are not imported yet look uninstalled in this process."""
    for package in packages:
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
