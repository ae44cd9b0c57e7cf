"""One order for everything whose order in the config means nothing.

A config that only lists the same things in another order makes the same jobs, tables and figures.
Triggers are sorted by how near they are to training, interventions in the order in which
docs/interventions.md lists their kinds.
"""

from decimal import Decimal
from typing import get_args

from emgrid.config.config import Config
from emgrid.config.external_arm import ExternalArm
from emgrid.config.interventions import Intervention
from emgrid.config.triggers import Relation, Trigger

KINDS = (
    "base",
    "benign_only",
    "undiluted",
    "from_adapter",
    "dilution",
    "sequential",
    "inoculation",
    "rephrased_inoculation",
    "irrelevant_prompt",
    "educational",
    "on_policy",
    "off_policy",
    "reasoning",
    "cue_on_benign",
    "cue_on_rows",
)


def ordered(config: Config, triggers: dict[str, Trigger]) -> Config:
    """The config with its sets in their one order. triggers: all known families, by name."""
    interventions = {
        name: intervention.model_copy(update={"seeds": tuple(sorted(intervention.seeds))})
        for name, intervention in sorted(config.interventions.items(), key=intervention_place)
    }
    calibration = config.calibration
    names = sorted(config.triggers, key=lambda name: trigger_place(triggers[name]))
    return config.model_copy(
        update={
            "base_models": tuple(sorted(config.base_models)),
            "interventions": interventions,
            "seeds": tuple(sorted(config.seeds)),
            "triggers": tuple(names),
            "judges": tuple(sorted(config.judges, key=lambda judge: judge.id)),
            "imports": tuple(sorted(config.imports, key=point_place)),
            "adapters": tuple(sorted(config.adapters, key=point_place)),
            "served": tuple(sorted(config.served, key=point_place)),
            "calibration": calibration.model_copy(
                update={"files": tuple(sorted(calibration.files))}
            ),
        }
    )


def trigger_place(trigger: Trigger) -> tuple[int, str]:
    return get_args(Relation).index(trigger.relation), trigger.id


def point_place(point: ExternalArm) -> tuple[str, bool, str, Decimal, int]:
    """A base model's own arm before those that were trained on it."""
    trained = point.intervention != "base"
    return point.base, trained, point.intervention, Decimal(point.ratio), point.seed


def intervention_place(entry: tuple[str, Intervention]) -> tuple[list[int], str]:
    name, intervention = entry
    kinds = [KINDS.index(kind) if kind in KINDS else len(KINDS) for kind in intervention.kinds]
    return kinds, name
