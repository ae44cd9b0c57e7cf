"""Loading a base model and its tokenizer. Reads model.json, which prepare.py wrote."""

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

from emgrid.models.architecture import attention_of
from emgrid.models.chat_template import ChatFormat
from emgrid.models.model_files import changed, content, find, is_weights
from emgrid.models.tokenizer import load_tokenizer
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, read_json


def pick_precision(precision: str, device: str) -> Any:
    """The torch dtype for a config's `precision`; auto is bfloat16 if the device supports it."""
    import torch

    if precision != "auto":
        return getattr(torch, precision)
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    flags = Path("/proc/cpuinfo")
    native = flags.exists() and "avx512_bf16" in flags.read_text(encoding="utf-8", errors="replace")
    return torch.bfloat16 if native else torch.float32


class BaseModel:
    """A base model: its record (model.json) and the folder of its files."""

    def __init__(self, record: dict[str, Any], folder: Path) -> None:
        self.name: str = record["name"]
        self.folder = folder
        self.recorded_path: str | None = record["path"]
        self.revision: str | None = record["revision"]
        self.chat_template: str | None = record["chat_template"]
        self.eos_token_ids: list[int] = record["eos_token_ids"]
        self.content: dict[str, str] | None = record.get("content")
        self.tokenizer_mark: int | str | None = record.get("tokenizer")
        self.system_prompt: str | None = record.get("system_prompt")

    @classmethod
    def read(cls, path: Path) -> "BaseModel":
        return cls(read_json(path), path.parent)

    @cached_property
    def path(self) -> Path:
        """The folder of the model's files."""
        if self.recorded_path is None:
            return find(self.folder)
        return self.folder / self.recorded_path

    @property
    def marks(self) -> list[Any]:
        """What determines a model's answers besides its name, revision and template: the content
        of a user's folder, and the record's tokenizer and system prompt settings. Records of other
        models have none of these, so their rows keep their keys."""
        content_marks: list[Any] = [] if self.content is None else [digest(self.content)]
        marks = {"tokenizer": self.tokenizer_mark, "system_prompt": self.system_prompt}
        return content_marks + [[name, value] for name, value in marks.items() if value]

    def refuse_edited(self, weights: bool = True) -> None:
        """Raise EmgridError if a user's model has changed since this record was written. weights:
        check its weights, too."""
        if self.content is None:
            return
        recorded = {
            name: file_hash
            for name, file_hash in self.content.items()
            if weights or not is_weights(name)
        }
        if change := changed(recorded, content(self.path, weights)):
            raise EmgridError(
                f"base model {self.name}: {self.path}: {change} since the run began; run again"
            )

    def tokenizer(self) -> Any:
        """The tokenizer with the model's chat template."""
        self.refuse_edited(weights=False)
        tokenizer = load_tokenizer(self.path)
        if self.chat_template:
            tokenizer.chat_template = self.chat_template
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token_id = self.eos_token_ids[0]
        return tokenizer

    def chat(self) -> ChatFormat:
        folds = self.system_prompt == "fold"
        return ChatFormat(self.tokenizer(), self.eos_token_ids, self.name, folds)

    def load(
        self, precision: str, device: str, attention: str | None = None, quantised: bool = False
    ) -> Any:
        """The model's weights, in evaluation mode on `device`.

        attention: a name that transformers knows; None for the model's required implementation or
        transformers' choice. quantised: load the weights of linear layers in 4 bits (NF4, Dettmers
        et al. 2023) and compute in `precision`.
        """
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        self.refuse_edited()
        if device == "cuda" and not torch.cuda.is_available():
            raise EmgridError("device: cuda, but no CUDA device is visible; set `device: cpu`")
        dtype = pick_precision(precision, device)
        place = torch.cuda.current_device() if device == "cuda" else device
        quantisation = (
            {"quantization_config": four_bits(dtype), "device_map": {"": place}}
            if quantised
            else {}
        )
        config = AutoConfig.from_pretrained(self.path, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            self.path,
            dtype=dtype,
            attn_implementation=attention or attention_of(config),
            use_safetensors=True,
            trust_remote_code=False,
            **quantisation,
        )
        return model.eval() if quantised else model.to(device).eval()


def four_bits(dtype: Any) -> Any:
    """The quantisation settings of `method: qlora`."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EmgridError(
            "training.method: qlora needs bitsandbytes; pip install -e '.[qlora]', or use lora"
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def model_identity(base: BaseModel, adapter: str | None) -> str:
    """A hash of what determines a model's answers: weights, chat template, content of the
    adapter."""
    return digest([base.name, base.revision, base.chat_template, adapter, *base.marks])
