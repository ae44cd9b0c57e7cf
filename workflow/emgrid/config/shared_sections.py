"""Sections of a config that its entries share: an entry has those that it does not override.

Works on what was written, before it is validated.
"""

from typing import Any

from emgrid.config.interventions import KINDS
from emgrid.config.places import Misplaced
from emgrid.config.sections import ServedSampling
from emgrid.runtime.errors import suggestion

SHARED = ("data", "training", "sampling", "seeds")
ENTRY = ("label", "steps", *SHARED)
# The base model is the control of all arms: its answers are shared, so more of them pay off.
BASE_TIMES = 4


def fill_intervention(name: str, entry: Any, shared: dict[str, Any]) -> dict[str, Any]:
    """An entry with its steps as a list, and the shared sections that it does not override."""
    place = f"interventions.{name}"
    if entry is None:
        entry = {}
    if isinstance(entry, list):
        entry = {"steps": entry}
    if not isinstance(entry, dict):
        raise Misplaced(place, "must be a mapping, {} where nothing is set, or a list")
    if "steps" not in entry:
        own = {key: value for key, value in entry.items() if key not in ENTRY}
        entry = {key: value for key, value in entry.items() if key in ENTRY}
        entry["steps"] = [{"kind": name} | own]
    if not isinstance(entry["steps"], list):
        raise Misplaced(f"{place}.steps", "must be a list of interventions")
    for step in entry["steps"]:
        kind = step.get("kind") if isinstance(step, dict) else None
        if not isinstance(kind, str) or kind not in KINDS:
            raise Misplaced(place, f"unknown kind {kind!r}, {suggestion(str(kind), KINDS)}")
    filled = {key: shared[key] for key in SHARED if key in shared}
    for key, value in entry.items():
        both = isinstance(value, dict) and isinstance(filled.get(key), dict)
        filled[key] = filled[key] | value if both else value
    return filled


def ask_base_more_often(filled: dict[str, Any], written: Any) -> dict[str, Any]:
    """An intervention with BASE_TIMES as many answers if it is the base model and its entry does
    not say how many."""
    kinds = [step["kind"] for step in filled["steps"]]
    own = written.get("sampling") if isinstance(written, dict) else None
    says = isinstance(own, dict) and "answers_per_question" in own
    sampling = filled.get("sampling")
    if kinds != ["base"] or says or not isinstance(sampling, dict):
        return filled
    answers = sampling.get("answers_per_question")
    if not isinstance(answers, int) or isinstance(answers, bool):
        return filled
    return filled | {"sampling": sampling | {"answers_per_question": BASE_TIMES * answers}}


def fill_sampling(place: str, entry: Any, shared: Any) -> Any:
    """A served model's entry with the settings of sampling that it does not override."""
    own = entry.get("sampling", {}) if isinstance(entry, dict) else None
    if not isinstance(own, dict):
        return entry
    common = shared if isinstance(shared, dict) else {}
    filled = {key: common[key] for key in ServedSampling.model_fields if key in common} | own
    for name, field in ServedSampling.model_fields.items():
        if field.is_required() and name not in filled:
            raise Misplaced(
                f"{place}.sampling",
                f"`{name}` is missing; give it here or in the shared `sampling`",
            )
    return entry | {"sampling": filled}
