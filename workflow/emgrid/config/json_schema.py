"""Write the JSON schema of the config, for editors.

    python -m emgrid.config.json_schema > workflow/schemas/config.schema.json

It knows keys, types and ranges. What an entry lacks is filled in from the shared sections, so
nothing below the top level is required here; emgrid itself says what is missing.
"""

import json
from typing import Any

from emgrid.config.config import Config
from emgrid.config.interventions import KINDS


def schema() -> dict[str, Any]:
    made = Config.model_json_schema()
    definitions = made["$defs"]
    for part in definitions.values():
        part.pop("required", None)
    steps = [definitions[kind.__name__] for kind in KINDS.values()]
    for kind, step in zip(KINDS, steps, strict=True):
        step["properties"]["kind"] = {"const": kind, "default": kind}
    # In a file an entry may be one step with its own settings beside it, or a list of steps.
    written = definitions["Intervention"]
    whole = {key: value for step in steps for key, value in step["properties"].items()}
    written["properties"] = whole | {"kind": {"enum": list(KINDS)}} | written["properties"]
    listed = {"type": "array", "items": written["properties"]["steps"]["items"]}
    listed["items"] = {"anyOf": listed["items"]["oneOf"]}
    written["properties"]["steps"] = listed
    entry = {"anyOf": [{"$ref": "#/$defs/Intervention"}, listed, {"type": "null"}]}
    made["properties"]["interventions"]["additionalProperties"] = entry
    for section in ("data", "training", "sampling"):
        reference = {"$ref": f"#/$defs/{section.capitalize()}"}
        written["properties"][section] = reference
    made["properties"]["extends"] = {
        "type": "string",
        "description": "A config file that this one lies over, section by section.",
    }
    made["required"] = []
    return made


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
