"""emgrid serve: the command that serves a grid's base model with all of its adapters by vLLM."""

import shlex
from pathlib import Path

from emgrid.cli.options import DEFAULT_CONFIG, ConfigFile
from emgrid.cli.project import open_grid, root_of
from emgrid.runtime.errors import EmgridError


def command(configfile: ConfigFile = DEFAULT_CONFIG) -> None:
    """Print the vLLM command that serves a grid's adapters with its chat template. Writes the
    adapters to `adapters/` of the grid's folder."""
    from emgrid.export.adapters import write_adapters
    from emgrid.grid.specs.export import adapters

    grid = open_grid(configfile)
    root = root_of(grid)
    spec = adapters(grid)
    if not spec.arms:
        raise EmgridError(f"{configfile}: the grid trains nothing, so it has no adapters to serve")
    folder = write_adapters(root, spec)
    for base in spec.bases:
        names = sorted(arm.name for arm in spec.arms if arm.base == base)
        written = [folder / name for name in names if (folder / name).is_dir()]
        if written:
            print(serving_command(root, base, spec.bases[base].hub, written))


def serving_command(root: Path, base: str, hub: str | None, adapters: list[Path]) -> str:
    """The command for one base model, an option a line. hub: the model's repository."""
    from emgrid.models.adapter_settings import largest_rank
    from emgrid.models.base_model import BaseModel
    from emgrid.models.engines.vllm import RANKS
    from emgrid.runtime import layout
    from emgrid.runtime.files import read_json

    model = BaseModel.read(root / layout.model_record(base))
    rank = max(largest_rank(read_json(path / layout.ADAPTER_CONFIG)) for path in adapters)
    allowed = [number for number in RANKS if number >= rank]
    if not allowed:
        raise EmgridError(f"vLLM serves no LoRA of rank {rank}; it takes {RANKS[-1]} at most")
    weights = [hub, "--revision", str(model.revision)] if hub else [str(model.path.resolve())]
    options = [
        ["vllm", "serve", *weights],
        ["--served-model-name", base],
        ["--chat-template", str(adapters[0].resolve() / "chat_template.jinja")],
        # Otherwise vLLM takes penalties and top_k from the model's generation_config.json.
        ["--generation-config", "vllm"],
        ["--enable-lora", "--max-lora-rank", str(allowed[0])],
        ["--lora-modules", *(f"{path.name}={path.resolve()}" for path in adapters)],
    ]
    return " \\\n  ".join(shlex.join(part) for part in options)
