"""Write the JSON schema of the config, for editors.

    python -m emgrid.config.json_schema > workflow/schemas/config.schema.json

It knows keys, types, ranges, defaults and, from the docstring under each field, descriptions. Keys
that an entry lacks are filled in from the shared sections, so nothing below the top level is
required here; emgrid itself reports what is missing.
"""

import ast
import inspect
import json
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from emgrid.config.base import Strict
from emgrid.config.config import Config
from emgrid.config.interventions import KINDS
from emgrid.config.judges import KINDS as JUDGES
from emgrid.runtime.rules import SECTIONS

# By the ending of a step's key, the section whose settings it overrides.
SECTIONS_OF_STEPS = {"sampling": "Sampling", "training": "Training"}


def field_docs(model: type) -> dict[str, str]:
    """The docstring under each field of a model, its own and inherited ones.

    The source is read here because pydantic's `use_attribute_docstrings` reads it whenever the
    module is imported, which adds a third to the time that every job takes to import the config.
    """
    docs: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, Strict):
            continue
        (source,) = ast.parse(inspect.getsource(base)).body
        for field, text in pairwise(getattr(source, "body", [])):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                match text:
                    case ast.Expr(value=ast.Constant(value=str(doc))):
                        docs[field.target.id] = " ".join(doc.split())
    return docs


class DescribedSchema(GenerateJsonSchema):
    """Pydantic's JSON schema with the fields' docstrings and the defaults that a function makes."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        docs = field_docs(schema["cls"])
        for name, field in described.get("properties", {}).items():
            if name in docs:
                field["description"] = docs[name]
        if "description" in described:
            described["description"] = " ".join(described["description"].split())
        return described

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        if "default_factory" in schema and not schema.get("default_factory_takes_data"):
            return schema["default_factory"]()  # type: ignore[call-arg]
        return super().get_default_value(schema)


def schema() -> dict[str, Any]:
    whole = Config.model_json_schema(schema_generator=DescribedSchema)
    definitions = whole["$defs"]
    for part in definitions.values():
        part.pop("required", None)
    describe_interventions(whole, definitions)
    describe_judges(whole, definitions)
    whole["properties"].pop("trigger_families")
    families = [{"type": "string"}, {"$ref": "#/$defs/Trigger"}]
    whole["properties"]["triggers"]["items"] = {"anyOf": families}
    whole["properties"]["resources"]["propertyNames"] = {"enum": list(SECTIONS)}
    whole["properties"] = {
        "extends": {
            "type": "string",
            "description": "Path of a config file that this one is laid over, section by section.",
        }
    } | whole["properties"]
    whole["required"] = []
    return whole


def describe_interventions(whole: dict[str, Any], definitions: dict[str, Any]) -> None:
    """An entry is one step with its own settings next to it, a list of steps, or nothing."""
    steps = {kind: definitions[step.__name__] for kind, step in KINDS.items()}
    for kind, step in steps.items():
        step["properties"]["kind"] |= {"const": kind, "default": kind}
        for key in step["properties"]:
            if section := SECTIONS_OF_STEPS.get(key.rpartition("_")[2]):
                refer(step["properties"], key, section)
    written = definitions["Intervention"]
    for section in ("data", "training", "sampling"):
        refer(written["properties"], section, section.capitalize())
    listed = written["properties"]["steps"]
    listed["items"] = {"anyOf": listed["items"]["oneOf"]}
    listed.pop("minItems")
    written["properties"] = merged_steps(steps) | written["properties"]
    items = {"type": "array", "items": listed["items"]}
    entry = {"anyOf": [{"$ref": "#/$defs/Intervention"}, items, {"type": "null"}]}
    whole["properties"]["interventions"]["additionalProperties"] = entry


def refer(properties: dict[str, Any], key: str, section: str) -> None:
    """Give a key the form of a section."""
    stays = {
        name: properties[key][name]
        for name in ("description", "default")
        if name in properties[key]
    }
    properties[key] = {"$ref": f"#/$defs/{section}"} | stays


def merged_steps(steps: dict[str, Any]) -> dict[str, Any]:
    """The keys of all kinds of steps. A key of several kinds has all their descriptions."""
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for step in steps.values() for name in step["properties"]):
        if name == "kind":
            continue
        fields = {kind: step["properties"].get(name) for kind, step in steps.items()}
        kinds: dict[str, list[str]] = {}
        for kind, field in fields.items():
            if field:
                kinds.setdefault(field["description"], []).append(f"`{kind}`")
        field = dict(next(field for field in fields.values() if field))
        if any(other and other.get("default") != field.get("default") for other in fields.values()):
            field.pop("default", None)
        texts = [f"{', '.join(names)}: {text}" for text, names in kinds.items()]
        merged[name] = field | {"description": " ".join(texts)}
    kind = next(iter(steps.values()))["properties"]["kind"]["description"]
    return {"kind": {"enum": list(steps), "description": kind}} | merged


def describe_judges(whole: dict[str, Any], definitions: dict[str, Any]) -> None:
    """An entry names a file, or has the fields of a judge, over those of the file it extends."""
    extends = {
        "type": "string",
        "description": "Name of a file in `resources/judges/` whose fields this judge takes over "
        "unless it gives them itself.",
    }
    for judge in JUDGES.values():
        properties = definitions[judge.__name__]["properties"]
        definitions[judge.__name__]["properties"] = {"extends": extends} | properties
    judges = [{"$ref": f"#/$defs/{judge.__name__}"} for judge in JUDGES.values()]
    whole["properties"]["judges"]["items"] = {"anyOf": [{"type": "string"}, *judges]}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
