"""Load a config: validate it, read its catalogue, and check every name and row count."""

from typing import Any

from emgrid.config.base import validate
from emgrid.config.canonical_order import ordered
from emgrid.config.catalogue import Experiment, read_catalogue
from emgrid.config.checks import check_names
from emgrid.config.config import Config
from emgrid.config.judges import Judge
from emgrid.config.places import Origin, origin_of
from emgrid.grid.adapter_checks import check_adapters, check_starts
from emgrid.grid.checks import (
    check_columns,
    check_correction,
    check_labelled,
    check_models,
    check_rounds,
    check_rows,
)
from emgrid.grid.discovery_checks import check_discovery
from emgrid.grid.engine_choice import Machine, settle
from emgrid.grid.turn_checks import check_turns
from emgrid.runtime.errors import EmgridError


def load_experiment(
    value: Any, origin: Origin | str, check_data: bool = True, machine: Machine | None = None
) -> Experiment:
    """Validate a parsed config and every name in it; `origin` names the files in messages.

    check_data: also read the data files that are on this machine. A job inside the grid leaves
    that out, since the main process has done it. machine: what `auto` is chosen for; by default the
    one that this process runs on.
    """
    origin = origin_of(origin)
    if not isinstance(value, dict):
        raise EmgridError(f"{origin}: a config must be a mapping of settings")
    value, chosen = settle(value, machine)
    config = validate(Config, value, origin)
    catalogue = read_catalogue(config, origin)
    experiment = Experiment(with_columns(config, catalogue.panel), catalogue)
    check_names(experiment, origin)
    check_starts(config, origin)
    check_columns(catalogue.panel, origin)
    check_labelled(config, origin)
    check_rounds(experiment, origin)
    check_turns(experiment, origin)
    check_discovery(experiment, origin)
    if check_data:
        check_models(config, origin)
        check_adapters(config, origin)
        check_rows(experiment, origin)
        check_correction(experiment, origin)
    return Experiment(ordered(experiment.config, catalogue.triggers), catalogue, chosen)


def with_columns(config: Config, panel: dict[str, Judge]) -> Config:
    """The config with a column of labels for everything that its panel measures."""
    calibration = config.calibration
    columns = {judge.measures: judge.measures for judge in panel.values()}
    with_all = calibration.model_copy(update={"columns": columns | calibration.columns})
    return config.model_copy(update={"calibration": with_all})
