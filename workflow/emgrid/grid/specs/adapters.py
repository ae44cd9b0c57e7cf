"""What the jobs that import adapters depend on."""

from emgrid.grid.grid import Grid
from emgrid.grid.specs.spec_json import spec_json
from emgrid.models.import_adapter import AdapterSpec
from emgrid.runtime.files import read_json, users_path


def import_spec(grid: Grid, name: str) -> str:
    """What an imported adapter is; a user's own folder counts by its content."""
    entry = grid.adapters[name].entry
    model = grid.catalogue.models[entry.base]
    named = (entry.base, model.hub, model.path)
    engines = {arm.sampling.engine for arm in grid.trained if arm.start == grid.adapters[name]}
    manifest = read_json(users_path(entry.manifest)) if entry.manifest else None
    return spec_json(
        AdapterSpec(
            **entry.files,
            name=name,
            base=entry.base,
            names=tuple(str(one) for one in named if one is not None),
            engines=tuple(sorted(engines)),
            content=grid.adapter_content(name),
            manifest=manifest,
        )
    )
