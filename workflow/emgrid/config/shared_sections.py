"""Sections of a config that its entries share: an entry has those that it does not override.

Works on what was written, before it is validated.
"""

from typing import Any

from emgrid.config.interventions import KINDS
from emgrid.config.places import Misplaced
from emgrid.config.sections import ServedSampling
from emgrid.runtime.errors import suggestion
from emgrid.runtime.files import read_json, users_path

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
    entry["steps"] = [with_ratio(place, step, shared.get("adapters")) for step in entry["steps"]]
    filled = {key: shared[key] for key in SHARED if key in shared}
    for key, value in entry.items():
        both = isinstance(value, dict) and isinstance(filled.get(key), dict)
        filled[key] = filled[key] | value if both else value
    return filled


def with_ratio(place: str, step: Any, adapters: Any) -> Any:
    """A step with the ratio of the adapters that it begins with, if they have one only."""
    if step["kind"] != "from_adapter" or step.get("adapter_ratio") is not None:
        return step
    written = [one for one in adapters or () if isinstance(one, dict)]
    entries = [with_manifest("adapters", one) for one in written]
    named = [one for one in entries if one.get("intervention") == step.get("adapter")]
    ratios = {str(one["ratio"]): one["ratio"] for one in named if "ratio" in one}
    if len(ratios) > 1:
        raise Misplaced(
            place,
            f"the adapters {step.get('adapter')!r} have the ratios {', '.join(ratios)}; name one "
            "in `adapter_ratio`",
        )
    return step | {"adapter_ratio": next(iter(ratios.values()))} if ratios else step


def fill_adapter(place: str, entry: Any, shared: Any, often: bool) -> Any:
    """An adapter's entry with what its manifest says and the settings of sampling that it does not
    override. often: ask the base model BASE_TIMES as often, unless its entry says how often."""
    if not isinstance(entry, dict):
        return entry
    entry = with_manifest(place, entry)
    own = entry.get("sampling", {})
    if not isinstance(own, dict) or not isinstance(shared, dict):
        return entry
    filled = entry | {"sampling": shared | own}
    answers = filled["sampling"].get("answers_per_question")
    counted = isinstance(answers, int) and not isinstance(answers, bool)
    is_base = entry.get("intervention") == "base" and "answers_per_question" not in own
    if often and counted and is_base:
        filled["sampling"] = filled["sampling"] | {"answers_per_question": BASE_TIMES * answers}
    return filled


def with_manifest(place: str, entry: dict[str, Any]) -> dict[str, Any]:
    """An adapter's entry with the arm that its manifest of exported rows is of."""
    name = entry.get("manifest")
    if name is None:
        return entry
    try:
        manifest = read_json(users_path(str(name)))
        return {
            key: manifest["arm"][key] for key in ("base", "intervention", "ratio", "seed")
        } | entry
    except (OSError, ValueError, KeyError, TypeError):
        raise Misplaced(
            f"{place}.manifest",
            f"{name!r} is no manifest of exported rows; name the manifest.json that `emgrid "
            "export-rows` wrote",
        ) from None


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
