"""The sections of the config that several interventions share."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from emgrid.strict import Strict


def ratio_text(value: Any) -> str:
    """A ratio as the one text that paths, tables and specs carry: 0.20 and "0.2" give "0.2"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a number from 0 to 1")
    try:
        ratio = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number from 0 to 1") from None
    if not (ratio.is_finite() and 0 <= ratio <= 1):
        raise ValueError(f"ratio {value} lies outside 0..1")
    return f"{ratio.normalize():f}" if ratio else "0"


def listed(value: Any) -> Any:
    """One value where a list may stand is a list of one."""
    return value if isinstance(value, list | tuple) else [value]


Ratio = Annotated[str, BeforeValidator(ratio_text)]
Precision = Literal["auto", "bfloat16", "float32"]


class Data(Strict):
    """Which data sets are mixed, and how many rows a training set has."""

    misaligned: str
    benign: str
    rows: PositiveInt


class Training(Strict):
    """Hyperparameters of one training stage."""

    method: Literal["lora"] = "lora"
    rank: PositiveInt = 16
    alpha: PositiveFloat = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )
    learning_rate: PositiveFloat = 1e-4
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: NonNegativeInt = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    epochs: PositiveInt = 1
    batch_size: PositiveInt = 8
    max_length: PositiveInt = 1024
    precision: Precision = "auto"


class Sampling(Strict):
    """How answers are drawn."""

    engine: Literal["transformers"] = "transformers"
    answers_per_question: PositiveInt
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: PositiveInt
    precision: Precision = "auto"
