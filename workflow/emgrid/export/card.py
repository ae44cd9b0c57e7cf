"""Cards (README.md with metadata) that the Hugging Face Hub and `datasets` read."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

CARD = "README.md"
MAIN_TABLE = "verdicts"  # what `load_dataset` without a name gives
TAGS = ["emgrid", "emergent-misalignment"]
# The Hub's identifiers of licences, by the names that registries give.
LICENCES = {
    name: name
    for name in ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "gemma", "llama3.1")
}


def with_metadata(metadata: Mapping[str, Any], text: str) -> str:
    """A card: metadata as YAML, then Markdown."""
    head = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{text.strip()}\n"


def licence_of(names: Iterable[str]) -> dict[str, str]:
    """The metadata for the licences of what something is made of; nothing if none is known."""
    known = sorted(filter(None, set(names)))
    if not known:
        return {}
    if len(known) == 1 and known[0].lower() in LICENCES:
        return {"license": LICENCES[known[0].lower()]}
    return {"license": "other", "license_name": ", ".join(known)}


def dataset_card(name: str, repo: str, tables: Mapping[str, str]) -> str:
    """The card of a grid's tables: one configuration for each, as their columns differ.

    tables: the file of each, all of one format, as `datasets` reads all configurations alike.
    """
    metadata = {
        "pretty_name": f"emgrid: {name}",
        "tags": TAGS,
        "configs": [
            {"config_name": table, "data_files": file}
            | ({"default": True} if table == MAIN_TABLE else {})
            for table, file in tables.items()
        ],
    }
    text = f"""
# Results of the grid {name}

Tables of emgrid: did an intervention remove emergent
misalignment, or only hide it behind a trigger? `report.html` is the report.

```python
from datasets import load_dataset

verdicts = load_dataset("{repo}", "{MAIN_TABLE}", split="train")
```

| table | file |
|---|---|
"""
    rows = "\n".join(f"| `{table}` | {file} |" for table, file in tables.items())
    warning = """
The answers include harmful advice and other misaligned text, which models gave in an experiment.
They are for research, and are no training data for assistants.
"""
    return with_metadata(metadata, f"{text.strip()}\n{rows}\n{warning}")
