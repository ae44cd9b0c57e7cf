"""Runs of the Inspect task with models that answer by rule, and no network."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emgrid.export.inspect_tasks import conditional_misalignment
from inspect_ai import eval as run_tasks
from inspect_ai.log import EvalLog
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Logprob,
    Logprobs,
    Model,
    ModelOutput,
    ModelUsage,
    StopReason,
    TopLogprob,
    get_model,
)

# Inspect's mock model would fetch a tokenizer to count tokens itself.
USAGE = ModelUsage(input_tokens=7, output_tokens=3, total_tokens=10)
Reply = Callable[[list[ChatMessage], GenerateConfig], ModelOutput]


def output(text: str, logprobs: Logprobs | None = None, stop: StopReason = "stop") -> ModelOutput:
    message = ChatMessageAssistant(content=text, source="generate")
    choice = ChatCompletionChoice(message=message, stop_reason=stop, logprobs=logprobs)
    return ModelOutput(model="mockllm", choices=[choice], usage=USAGE)


def numbers(probabilities: dict[str, float], *further: str) -> ModelOutput:
    """A reply whose first token has these alternatives. further: the tokens after it."""
    listed = [TopLogprob(token=key, logprob=math.log(p)) for key, p in probabilities.items()]
    best = listed[0].token
    tokens = [Logprob(token=best, logprob=listed[0].logprob, top_logprobs=listed)]
    tokens += [Logprob(token=token, logprob=0.0) for token in further]
    return output(best + "".join(further), Logprobs(content=tokens))


def mock(reply: Reply) -> Model:
    def answer(messages: list[ChatMessage], _tools: Any, _choice: Any, config: Any) -> ModelOutput:
        return reply(messages, config)

    return get_model("mockllm/model", memoize=False, custom_outputs=answer)


def run(folder: Path, models: list[Model], grader: Model | None, **task: Any) -> list[EvalLog]:
    """Run the task with each model; the logs are in the folder."""
    return run_tasks(
        conditional_misalignment(**task),
        model=models,
        model_roles={"grader": grader} if grader else None,
        log_dir=str(folder),
        display="none",
        fail_on_error=True,
        log_realtime=False,
    )
