"""Where files come from: the mirror folder, and revisions that cannot move."""

import os
import re
from pathlib import Path

from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import users_path

MIRROR = "EMGRID_MIRROR"


COMMIT = re.compile(r"[0-9a-f]{40}")


def mirror_folder(configured: str | None) -> Path | None:
    """The mirror that the config names, else the environment; it must be there."""
    name = configured or os.environ.get(MIRROR)
    if not name:
        return None
    folder = users_path(name)
    if not folder.is_dir():
        where = "mirror" if configured else MIRROR
        raise EmgridError(f"{where}: no folder {name!r}; name the folder that holds the files")
    return folder


def refuse_moving(revision: str | None) -> None:
    """A branch or a tag of the Hub may name other files tomorrow; ValueError for one."""
    if revision is not None and not COMMIT.fullmatch(revision):
        raise ValueError(
            f"`revision`: {revision!r} may move; give the commit's 40 hexadecimal digits, as the "
            "Hub's page of commits shows them"
        )
