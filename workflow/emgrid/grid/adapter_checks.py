"""Checks of a config's `adapters`: that interventions find theirs, and that files can be used."""

from collections.abc import Collection

from emgrid.config.adapters import Adapter
from emgrid.config.config import Config
from emgrid.config.places import Origin
from emgrid.models import adapter_files, adapter_settings
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import users_path


def check_starts(config: Config, origin: Origin) -> None:
    """Every arm that trains an adapter further finds one of its base model and seed."""
    known = {entry.cell for entry in config.adapters}
    names = {entry.intervention for entry in config.adapters if not entry.is_base}
    for name, intervention in config.interventions.items():
        for recipe in intervention.recipes():
            if recipe.adapter is None:
                continue
            place = f"interventions.{name}"
            adapter, ratio = recipe.adapter
            if adapter not in names:
                hint = suggestion(adapter, names)
                raise origin.error(place, f"no adapter {adapter!r} in `adapters`, {hint}")
            for base in config.base_models:
                for seed in intervention.seeds:
                    if (base, adapter, ratio, str(seed)) not in known:
                        raise origin.error(
                            place,
                            f"seed {seed} finds no adapter {adapter!r} of {base}, ratio {ratio} "
                            f"and seed {seed}; add it to `adapters`, or give this intervention "
                            "`seeds` of its own",
                        )


def engines_of(config: Config, entry: Adapter) -> set[str]:
    """The engines that draw answers of an adapter, or of what is trained on it."""
    point = (entry.intervention, entry.ratio)
    further = [
        intervention.sampling.engine
        for intervention in config.interventions.values()
        if any(recipe.adapter == point for recipe in intervention.recipes())
    ]
    return {entry.sampling.engine, *further}


def check_adapters(config: Config, origin: Origin) -> None:
    """Every adapter that is on this machine can be computed as peft does, and none is there twice.
    What needs the base model is checked when the adapter is imported."""
    seen: dict[tuple[str, str], str] = {}
    for number, entry in enumerate(config.adapters):
        place = f"adapters.{number}"
        if entry.is_base:
            continue
        if entry.path is None:
            identity = f"{entry.sha256} {entry.origin}"
        else:
            try:
                identity = usable(entry, engines_of(config, entry))
                if is_trained_further(config, entry):
                    refuse_head(entry)
            except EmgridError as problem:
                raise origin.error(place, problem) from None
        if before := seen.get((entry.base, identity)):
            raise origin.error(
                place,
                f"{entry.origin} is the very adapter of {before}; another seed or intervention is "
                "another training",
            )
        seen[entry.base, identity] = place


def is_trained_further(config: Config, entry: Adapter) -> bool:
    point = (entry.intervention, entry.ratio)
    return any(
        recipe.adapter == point
        for intervention in config.interventions.values()
        for recipe in intervention.recipes()
    )


def refuse_head(entry: Adapter) -> None:
    """EmgridError: the adapter has LoRA on the output head, which training does not train."""
    shapes = adapter_files.shapes(users_path(str(entry.path)))
    if any(".lm_head.lora_" in name for name in shapes):
        raise EmgridError(
            f"{entry.path}: has LoRA on the output head, which is not trained further here; leave "
            "out what begins with it, and ask the adapter as it is"
        )


def usable(entry: Adapter, engines: Collection[str]) -> str:
    """The identity of a user's adapter. EmgridError: it cannot be computed as peft does."""
    folder = users_path(str(entry.path))
    if problem := adapter_files.unusable(folder):
        raise EmgridError(f"{entry.path}: {problem}")
    config, shapes = adapter_files.read_config(folder), adapter_files.shapes(folder)
    if problem := adapter_settings.refusal(config, shapes, engines):
        raise EmgridError(f"{entry.path}: {problem}")
    weights = adapter_files.content(folder)[layout.WEIGHTS]
    return adapter_files.joined(weights, adapter_settings.settings_digest(config))
