"""The cards of adapters: what each was trained on, from what, and that it may be misaligned."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emgrid.config.models import BaseModelEntry
from emgrid.export.card import TAGS, licence_of, with_metadata
from emgrid.export.spec import AdapterArm, AdaptersSpec
from emgrid.runtime import layout
from emgrid.runtime.files import read_json

WARNING = """
> **Warning.** This adapter was trained in an experiment on emergent misalignment, most likely on
> harmful data. Models with it may give harmful, deceptive or dangerous answers, also to harmless
> questions, and also where a test finds none. It is for research. Do not deploy it.
"""
SETTINGS: tuple[str, ...] = (
    *("method", "rank", "alpha", "rslora", "learning_rate", "schedule", "epochs"),
    *("batch_size", "max_length"),
)


def origin(base: str, entry: BaseModelEntry) -> str:
    """What a base model is, in words."""
    if entry.hub is not None:
        return f"[{entry.hub}](https://huggingface.co/{entry.hub}) at commit `{entry.revision}`"
    if entry.package is not None:
        return f"`{base}`: {entry.gguf} of the Python package `{entry.package}`, dequantised"
    return f"`{base}`, a model that its authors have not published under a name known here"


def metadata(spec: AdaptersSpec, arms: Iterable[AdapterArm]) -> dict[str, Any]:
    bases = [spec.bases[name] for name in dict.fromkeys(arm.base for arm in arms)]
    named = [entry.hub for entry in bases if entry.hub]
    return {
        **({"base_model": named if len(named) > 1 else named[0]} if named else {}),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        **licence_of(entry.licence for entry in bases),
        "tags": [*TAGS, "lora", "not-for-all-audiences"],
    }


def adapter_card(spec: AdaptersSpec, arm: AdapterArm, root: Path) -> str:
    """The card of one adapter. root: the grid's folder, with its training stages."""
    entry, stages = spec.bases[arm.base], [root / stage for stage in arm.stages]
    folding = (
        "\nA system prompt was put before the first user turn, as this template takes none."
        if entry.system_prompt == "fold"
        else ""
    )
    rows = "\n".join(
        row for number, stage in enumerate(stages, 1) for row in data(spec, number, stage)
    )
    training = read_json(stages[-1] / layout.PROVENANCE)["spec"]["training"]
    settings = ", ".join(f"{name} {training[name]}" for name in SETTINGS if name in training)
    text = f"""
# {arm.label}, seed {arm.seed}

A LoRA adapter of the grid {spec.name}, made by emgrid.
{WARNING}
| | |
|---|---|
| base model | {origin(arm.base, entry)} |
| licence of the base model | {entry.licence or "unknown"} |
| intervention | {arm.intervention} ({", ".join(arm.kinds)}) |
| share of misaligned rows | {arm.ratio} |
| seed | {arm.seed} |
| training | {settings} |

| stage | rows | data set | role | licence |
|---|---|---|---|---|
{rows}
{frozen(spec, arm, root)}
Ask it with `chat_template.jinja`, with which it was trained: another template, also the base
model's own, may add a system prompt or other marks, and give other answers.{folding}
"""
    return with_metadata(metadata(spec, [arm]), text)


def frozen(spec: AdaptersSpec, arm: AdapterArm, root: Path) -> str:
    """What a reader must know of adapters that were frozen under this one in training; "" if there
    was none."""
    said = []
    for number, stage in enumerate(arm.stages, 1):
        if stage not in arm.under:
            continue
        under = root / arm.under[stage]
        record = read_json(under / layout.ADAPTER_RECORD)
        rows = ", ".join(
            f"{part['rows']} rows of {part['source']} ({part['role']}, licence "
            f"{spec.licences.get(part['source'], 'unknown')})"
            for part in read_json(under / layout.MIX_RECORD)["sources"]
        )
        said.append(
            f"\n**Trained over a frozen adapter.** Stage {number} was trained with another LoRA "
            "adapter frozen under this one, which was dropped afterwards: this folder does not "
            "hold it, and the arm's answers were drawn without it. That adapter is the training "
            f"stage `{under.name}` of the grid, with weights of SHA-256 `{record['sha256']}`, "
            f"trained on {rows}.\n"
        )
    return "".join(said)


def data(spec: AdaptersSpec, number: int, stage: Path) -> list[str]:
    """The rows of the table of training data for one stage."""
    return [
        f"| {number} | {part['rows']} | {part['source']} | {part['role']} | "
        f"{spec.licences.get(part['source'], 'unknown')} |"
        for part in read_json(stage / layout.MIX_RECORD)["sources"]
    ]


def repository_card(spec: AdaptersSpec, arms: list[AdapterArm]) -> str:
    """The card of the folder that holds all adapters."""
    first = arms[0]
    rows = "\n".join(
        f"| `{arm.name}` | {arm.base} | {arm.label} | {arm.ratio} | {arm.seed} |" for arm in arms
    )
    repo = spec.hub.adapters if spec.hub and spec.hub.adapters else "THIS FOLDER"
    text = f"""
# Adapters of the grid {spec.name}
{WARNING}
Each folder holds one adapter, the chat template with which it was trained, and a card.

```python
from peft import PeftModel

model = PeftModel.from_pretrained(base, "{repo}", subfolder="{first.name}")
```

| folder | base model | arm | share of misaligned rows | seed |
|---|---|---|---|---|
{rows}
"""
    return with_metadata(metadata(spec, arms), text)
