"""Write the JSON schema of the config, for editors.

    python -m emgrid.schema > workflow/schemas/config.schema.json

It knows keys, types and ranges. What an entry lacks is filled in from the shared sections, so
nothing below the top level is required here; emgrid itself says what is missing.
"""

import json
from typing import Any

from emgrid.config import Config


def schema() -> dict[str, Any]:
    made = Config.model_json_schema()
    for part in made["$defs"].values():
        part.pop("required", None)
    entries = made["properties"]["interventions"]["additionalProperties"]
    entries["anyOf"] = entries.pop("oneOf")
    del entries["discriminator"]
    made["properties"]["extends"] = {
        "type": "string",
        "description": "A config file that this one lies over, section by section.",
    }
    return made


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
