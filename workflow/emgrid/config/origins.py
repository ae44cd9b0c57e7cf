"""Where files come from: the mirror folder, and revisions that cannot move."""

import os
import re
from pathlib import Path

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import users_path

MIRROR = "EMGRID_MIRROR"


COMMIT = re.compile(r"[0-9a-f]{40}")


def mirror_folder(configured: str | None) -> Path | None:
    """The mirror folder of the config, or else of the environment; None if neither names one."""
    name = configured or os.environ.get(MIRROR)
    if not name:
        return None
    folder = users_path(name)
    if not folder.is_dir():
        where = "mirror" if configured else MIRROR
        raise EmgridError(f"{where}: no folder {name!r}; name the folder that holds the files")
    return folder


def refuse_moving(revision: str | None) -> None:
    """Raise ValueError for a branch or tag of the Hub, whose files may change."""
    if revision is not None and not COMMIT.fullmatch(revision):
        raise ValueError(
            f"`revision`: {revision!r} may move; give the commit's 40 hexadecimal digits from the "
            "Hub's page of commits"
        )
