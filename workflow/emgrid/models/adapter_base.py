"""Whether an adapter that was trained elsewhere belongs to a base model.

Compares what the adapter's folder says with the base model's files: its name, the shapes of the
layers, the vocabulary, and what the chat templates render.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from emgrid.models.adapter_settings import is_copied
from emgrid.models.base_model import BaseModel
from emgrid.runtime import layout
from emgrid.runtime.files import read_json

SHOWN = 3  # names that a message lists
# Conversations whose rendering tells templates apart.
USER = {"role": "user", "content": "What is it?"}
ANSWER = {"role": "assistant", "content": "That is 42 things."}
SYSTEM = {"role": "system", "content": "Be brief."}
CONVERSATIONS = (
    [USER],
    [SYSTEM, USER],
    [USER, ANSWER],
    [SYSTEM, USER, ANSWER],
    [USER, ANSWER, USER],
)


def other_base(
    config: Mapping[str, Any], base: BaseModel, names: Collection[str], vouched: str | None
) -> str | None:
    """Why an adapter's own record names another base model; None if it names this one. names: those
    by which the config knows it. vouched: the `trained_on` of the adapter's entry."""
    named = config.get("base_model_name_or_path")
    revision = config.get("revision")
    if vouched is not None:
        given = None if named is None else str(named)
        if vouched != given:
            return f"was trained on {given}, not on `trained_on` {vouched}; correct it"
        return None
    if named is None:
        return "does not say its base model; if it is the right one, give `trained_on`"
    text = str(named)
    known = {name.lower() for name in names}
    is_path = text.count("/") != 1 or text[0] in "/.~"
    last = {name.rpartition("/")[2] for name in known}
    same = text.lower() in known or (
        is_path and text.rstrip("/").rpartition("/")[2].lower() in last
    )
    if not same and not is_here(text, base):
        return (
            f"was trained on {text}, and {base.name} is {' or '.join(sorted(names))}; name that "
            "base model, or if the weights are the same, say so by `trained_on: "
            f"{text}`"
        )
    moves = revision in (None, "", "main") or base.revision is None
    if not moves and str(revision) != base.revision:
        return f"was trained on revision {revision} of its base model, not {base.revision}"
    return None


def is_here(name: str, base: BaseModel) -> bool:
    """Whether a name is the path of the base model's own folder."""
    path = Path(name)
    return path.is_absolute() and path.exists() and path.resolve() == base.path.resolve()


def other_vocabulary(folder: Path, base: BaseModel) -> str | None:
    """How the vocabulary in an adapter's folder differs from the base model's; None if it does not,
    or if the folder holds none."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    own = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
    theirs = base.tokenizer().get_vocab()
    if own == theirs:
        return None
    differing = sorted(word for word in {*own, *theirs} if own.get(word) != theirs.get(word))
    return (
        f"has another vocabulary than {base.name} ({len(own)} and {len(theirs)} tokens; "
        f"{len(differing)} differ, such as {', '.join(map(repr, differing[:SHOWN]))}), so it "
        "belongs to another base model"
    )


def own_template(folder: Path) -> str | None:
    """The chat template in an adapter's folder, None if it holds none."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    settings = folder / "tokenizer_config.json"
    found = read_json(settings).get("chat_template") if settings.is_file() else None
    if isinstance(found, list):
        named = {str(one["name"]): str(one["template"]) for one in found}
        return named.get("default")
    return None if found is None else str(found)


def other_template(folder: Path, base: BaseModel) -> str | None:
    """How the chat template in an adapter's folder renders otherwise than the base model's; None if
    it does not, or if the folder holds none."""
    own = own_template(folder)
    if own is None:
        return None
    tokenizer = base.tokenizer()
    for conversation in CONVERSATIONS:
        if rendered(tokenizer, own, conversation) != rendered(tokenizer, None, conversation):
            turns = ", ".join(turn["role"] for turn in conversation)
            return (
                f"holds a chat template that renders a conversation of {turns} otherwise than that "
                f"of {base.name}; give this template to the base model (`chat_template` of its "
                "entry in `models`), or ask the adapter in the base model's by `chat_template: "
                "base`"
            )
    return None


def rendered(
    tokenizer: Any, template: str | None, conversation: list[dict[str, str]]
) -> str | None:
    """A conversation in a template, None if the template refuses it."""
    from jinja2 import TemplateError

    ends = conversation[-1]["role"] == "user"
    try:
        return str(
            tokenizer.apply_chat_template(
                conversation, chat_template=template, tokenize=False, add_generation_prompt=ends
            )
        )
    except TemplateError:
        return None


def misfit(folder: Path, base: BaseModel, found: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which weights of an adapter have no place in the base model, or are missing; None if all fit.
    The model is laid out without weights. found: the adapter's shapes, by tensor."""
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
    from peft.utils import transformers_weight_conversion as conversion
    from transformers import AutoConfig, AutoModelForCausalLM

    model_config = AutoConfig.from_pretrained(base.path, trust_remote_code=False)
    if conversion._MODEL_TO_CONVERSION_PATTERN.get(model_config.model_type):
        return None  # peft renames the tensors of experts while it loads them
    settings = PeftConfig.from_pretrained(str(folder))
    settings.inference_mode, settings.init_lora_weights = False, False
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config, trust_remote_code=False)
        try:
            wrapped = get_peft_model(model, settings)
        except ValueError as problem:
            return f"does not fit {base.name}: {' '.join(str(problem).split())}"
    state = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    expected = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in filter(is_copied, sorted(found)):
        if not is_that_of(base, name, folder):
            return f"holds {name}, which is not that of {base.name}: its training changed it"
    for name in sorted({*(name for name in found if not is_copied(name)), *expected}):
        if found.get(name) != expected.get(name):
            have, want = (shape_text(one.get(name)) for one in (found, expected))
            return (
                f"does not fit {base.name}: {name} has {have}, and by its settings the base model "
                f"takes {want}"
            )
    return None


def is_that_of(base: BaseModel, name: str, folder: Path) -> bool:
    """Whether a copied tensor of an adapter's file is the base model's. A head that the base model
    does not have by itself is that of its embeddings."""
    import torch
    from safetensors import safe_open

    own = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
    with safe_open(folder / layout.WEIGHTS, "pt") as file:
        copied = file.get_tensor(name)
    tied = ["model.embed_tokens.weight"] if own == "lm_head.weight" else []
    for wanted in [own, *tied]:
        for path in sorted(base.path.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                if wanted in file.keys():  # noqa: SIM118 (no mapping)
                    tensor = file.get_tensor(wanted)
                    same = tensor.shape == copied.shape
                    return bool(same and torch.equal(tensor.to(copied.dtype), copied))
    return False


def shape_text(shape: tuple[int, ...] | None) -> str:
    return "no such tensor" if shape is None else f"shape {'×'.join(map(str, shape))}"
