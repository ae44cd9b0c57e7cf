"""A chat judge of the grid, asked through the grader model of an Inspect run.

Rubric, request and reading are those of the grid's chat judge, whose endpoint is replaced by
Inspect's model. Not possible here is a continued reply: a judge that reads probabilities needs a
grader whose tokenizer has one token for each number, which is checked once.
"""

import math

import anyio
from inspect_ai.model import ChatMessageUser, GenerateConfig, Model, ModelOutput, ResponseSchema
from inspect_ai.util import JSONSchema

from emgrid.config.judges import ChatJudge
from emgrid.judge import digit_tokens, drawn_replies
from emgrid.judge.judgement import Item, Judgement
from emgrid.judge.prompt import judge_prompt
from emgrid.judge.reading import from_tokens, read_text
from emgrid.judge.reply_form import CERTAIN
from emgrid.runtime.errors import EmgridError

TOP = 20  # alternatives of the first token, as the grid's chat judge asks for
PROBED = 24  # tokens of the reply that shows how numbers are written
SHORTEST = 16  # tokens of a reply of which the first is read; some endpoints refuse fewer


class Grader:
    """One judge and the model that plays it."""

    def __init__(self, judge: ChatJudge, model: Model) -> None:
        self.judge, self.model = judge, model
        self.reading = judge.read_rubric.reading
        self.checked, self.lock = False, anyio.Lock()

    async def judgement(self, item: Item) -> Judgement:
        """EmgridError if the grader's replies cannot be read in the way that the judge demands."""
        prompt = judge_prompt(self.judge.read_rubric, item)
        if self.judge.read == "probabilities":
            async with self.lock:
                await self.check_numbers()
            return self.expectation(await self.ask(prompt, distribution(SHORTEST)))
        draws = [
            read_text(self.judge, (await self.ask(prompt, self.worded(number))).completion)
            for number in range(self.judge.draws)
        ]
        return draws[0] if len(draws) == 1 else drawn_replies.together(draws)

    async def ask(self, prompt: str, config: GenerateConfig) -> ModelOutput:
        return await self.model.generate([ChatMessageUser(content=prompt)], config=config)

    def worded(self, number: int) -> GenerateConfig:
        """The request for a reply that is read as text or as JSON. number: of the draw."""
        schema = None
        if self.judge.read == "structured":
            schema = ResponseSchema(
                name="judgement",
                json_schema=JSONSchema.model_validate(self.reading.json_schema()),
                strict=True,
            )
        temperature = drawn_replies.TEMPERATURE if self.judge.draws > 1 else 0.0
        return GenerateConfig(
            temperature=temperature,
            seed=number,
            max_tokens=self.judge.max_tokens,
            response_schema=schema,
        )

    def expectation(self, output: ModelOutput) -> Judgement:
        top = alternatives(output)
        if not top or (len({token for token, _ in top}) < 2 and math.exp(top[0][1]) < CERTAIN):
            raise EmgridError(
                f"judge {self.judge.id}: grader {self.model} lists no alternatives of the first "
                "token, so there is no expectation; set -T read=text or -T read=structured"
            )
        return from_tokens(self.reading, top, self.judge.least_mass)

    async def check_numbers(self) -> None:
        """Ask once whether the grader has one token for each number."""
        if self.checked or self.reading.labels:
            return
        output = await self.ask(digit_tokens.PROBE, distribution(PROBED))
        if digit_tokens.how_numbers_are_written(tokens(output)) != "whole":
            raise EmgridError(
                f"judge {self.judge.id}: grader {self.model} does not show one token for each "
                "number, so its first token is no number; set -T read=text or -T read=structured"
            )
        self.checked = True


def distribution(length: int) -> GenerateConfig:
    return GenerateConfig(
        temperature=0.0, seed=0, max_tokens=length, logprobs=True, top_logprobs=TOP
    )


def tokens(output: ModelOutput) -> list[str]:
    """The tokens of a reply; none if the model lists none."""
    logprobs = output.choices[0].logprobs if output.choices else None
    return [entry.token for entry in logprobs.content] if logprobs else []


def alternatives(output: ModelOutput) -> list[tuple[str, float]]:
    """The alternatives of the first token, with natural-log probabilities."""
    logprobs = output.choices[0].logprobs if output.choices else None
    if not logprobs or not logprobs.content:
        return []
    first = logprobs.content[0]
    if not first.top_logprobs:
        return [(first.token, first.logprob)]
    return [(entry.token, entry.logprob) for entry in first.top_logprobs]
