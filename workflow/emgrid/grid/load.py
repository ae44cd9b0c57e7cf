"""Load a config: validate it, and check every name and row count that it relies on."""

from typing import Any

from emgrid.config.base import validate
from emgrid.config.canonical_order import ordered
from emgrid.config.checks import check_names
from emgrid.config.config import Config
from emgrid.grid.checks import (
    check_columns,
    check_correction,
    check_labelled,
    check_models,
    check_rows,
)
from emgrid.runtime.errors import EmgridError


def load_config(value: Any, origin: str, check_data: bool = True) -> Config:
    """Validate a parsed config and every name in it; `origin` names the file in messages.

    check_data: also read the data files that are on this machine. A job inside the grid leaves
    that out, since the main process has done it.
    """
    if not isinstance(value, dict):
        raise EmgridError(f"{origin}: a config must be a mapping of settings")
    config = validate(Config, value, origin)
    check_names(config, origin)
    check_columns(config, origin)
    check_labelled(config, origin)
    if check_data:
        check_models(config, origin)
        check_rows(config, origin)
        check_correction(with_columns(config), origin)
    return ordered(with_columns(config))


def with_columns(config: Config) -> Config:
    """The config with a column of labels for everything that its panel measures."""
    calibration = config.calibration
    columns = {judge.measures: judge.measures for judge in config.panel().values()}
    told = calibration.model_copy(update={"columns": columns | calibration.columns})
    return config.model_copy(update={"calibration": told})
