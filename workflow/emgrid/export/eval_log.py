"""One arm under one trigger as an Inspect log: answers are samples, repeated draws are epochs."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pandas as pd
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    EvalStats,
    HeadlineMetric,
    write_eval_log,
)
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    Content,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
    StopReason,
)
from inspect_ai.scorer import Score
from inspect_ai.viewer import TaskSamplesColumn, TaskSamplesView, ViewerConfig

from emgrid.export.cells import JudgedCell, records
from emgrid.export.spec import RULE, InspectSpec
from emgrid.runtime.files import digest

STOP: dict[str, StopReason] = {
    "stop": "stop",
    "length": "max_tokens",
    "content_filter": "content_filter",
}
# In words, because the viewer shows a plain yes or no as a right or a wrong answer.
MARK = {True: "misaligned", False: "not misaligned"}
# For imported answers, whose time of sampling is unknown.
UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"


def identity(*parts: Any) -> str:
    """A hash of the content, as long as the random identifiers of Inspect."""
    return digest(parts)[:22]


def content(answer: str | None, thought: str | None) -> str | list[Content]:
    """Reasoning and text of an assistant turn; no text if there is no answer."""
    if answer is not None and thought is None:
        return answer
    parts: list[Content] = [] if thought is None else [ContentReasoning(reasoning=thought)]
    return [*parts, *([] if answer is None else [ContentText(text=answer)])]


def judged(value: float | None, reason: str | None, mass: float | None) -> Score:
    """A judge's value, or no number and the reason why there is none."""
    if value is None:
        return Score.unscored(reason=reason, explanation=reason)
    return Score(value=value, metadata=None if mass is None else {"mass": mass})


def scores(row: dict[str, Any], judges: Iterable[str]) -> dict[str, Score]:
    """The outcome by the rule, then each judge's score. The viewer's list of samples shows the
    answer in the first score."""
    reason = row["excluded"]
    by_name = {
        "misaligned": Score(value=MARK[row["misaligned"]], answer=row["answer"]),
        "excluded": Score(value=reason or "survives", reason=reason),
    }
    for judge in judges:
        by_name[judge] = judged(row[judge], row[f"{judge}_reason"], row[f"{judge}_mass"])
    return by_name


def token_usage(read: int | None, written: int | None) -> ModelUsage | None:
    """Token counts; None if they are unknown, as for imported answers."""
    if read is None or written is None:
        return None
    return ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)


def turns_before(sample_id: str, turns: str | None) -> list[ChatMessage]:
    """The turns before a question, from their JSON text."""
    return [
        (ChatMessageUser if turn["role"] == "user" else ChatMessageAssistant)(
            id=identity(sample_id, f"turn {place}"), content=turn["content"]
        )
        for place, turn in enumerate(json.loads(turns or "[]"))
    ]


def sample(row: dict[str, Any], cell: JudgedCell, judges: Iterable[str]) -> EvalSample:
    """One answer as a sample. row: its columns, with None for missing values."""
    sample_id = identity(cell.point, row["question"], row["index"])
    prompt: list[ChatMessage] = [
        *turns_before(sample_id, row.get("turns")),
        ChatMessageUser(id=identity(sample_id, "user"), content=row["prompt"]),
    ]
    if row["system"] is not None:
        prompt.insert(0, ChatMessageSystem(id=identity(sample_id, "system"), content=row["system"]))
    reply = ChatMessageAssistant(
        id=identity(sample_id, "assistant"),
        content=content(row["answer"], row["thinking"]),
        source="generate",
        model=cell.model,
    )
    usage = token_usage(row["prompt_tokens"], row["answer_tokens"])
    stop = STOP.get(row["finish_reason"], "unknown")
    choice = ChatCompletionChoice(message=reply, stop_reason=stop)
    return EvalSample(
        id=row["question"],
        epoch=row["index"] + 1,
        input=prompt,
        target="",
        messages=[*prompt, reply],
        output=ModelOutput(model=cell.model, choices=[choice], usage=usage),
        scores=scores(row, judges),
        model_usage={cell.model: usage} if usage else {},
        uuid=sample_id,
    )


def eval_score(name: str, scored: pd.Series, metrics: dict[str, float]) -> EvalScore:
    """One score with its metrics; those that are NaN are left out."""
    known = {
        key: EvalMetric(name=key, value=value) for key, value in metrics.items() if value == value
    }
    scored_samples = int(scored.sum())
    return EvalScore(
        name=name,
        scorer=name,
        scored_samples=scored_samples,
        unscored_samples=len(scored) - scored_samples,
        metrics=known,
    )


def results(answers: pd.DataFrame, judges: Iterable[str]) -> EvalResults:
    """Both rates of this arm as means over questions, with their counts."""
    survivors = answers[answers["excluded"].isna()]
    rates = {
        f"rate_{name}": float(rows.groupby("question")["misaligned"].mean().mean())
        for name, rows in (("all", answers), ("survivors", survivors))
    }
    counts = {
        "n_answers": len(answers),
        "n_survivors": len(survivors),
        "n_misaligned": int(answers["misaligned"].sum()),
    }
    every = pd.Series(True, answers.index)
    scores_by_name = [eval_score("misaligned", every, rates | counts)]
    scores_by_name.append(
        eval_score("excluded", every, {"mean": 1 - len(survivors) / len(answers)})
    )
    for judge in judges:
        values = answers[judge]
        scores_by_name.append(eval_score(judge, values.notna(), {"mean": float(values.mean())}))
    return EvalResults(
        total_samples=len(answers),
        completed_samples=len(answers),
        scores=scores_by_name,
        headline=HeadlineMetric(scorer="misaligned", metric="rate_all"),
    )


def viewer(judges: Iterable[str]) -> ViewerConfig:
    """The columns of the viewer's list of samples; model text is shown as plain text."""
    plain = [TaskSamplesColumn(id=name) for name in ("sampleId", "epoch", "input", "answer")]
    scored = [TaskSamplesColumn.score(name) for name in ("misaligned", "excluded", *judges)]
    view = TaskSamplesView(
        name="answers",
        columns=[*plain, *scored],
        score_color_scales={"misaligned": {MARK[True]: "bad"}},
    )
    return ViewerConfig(trust_content=False, task_samples_view=view)


def header(cell: JudgedCell, spec: InspectSpec) -> EvalSpec:
    last, provenance = cell.arm[-1], cell.provenance
    questions = sorted(cell.answers["question"].unique())
    sampling = provenance.get("spec", {}).get("sampling", {})
    generate = {key: sampling.get(key) for key in ("temperature", "top_p", "max_tokens")}
    about = {key: last[key] for key in ("label", "adapter", "imported_from", "served_by")}
    about |= {"git_commit": provenance.get("git_commit"), "judges": spec.judges}
    included = RULE - spec.metrics.unused_later()
    about |= {"metrics": spec.metrics.model_dump(mode="json", include=included)}
    return EvalSpec(
        eval_id=identity("eval", spec.name, cell.point),
        run_id=identity("run", spec.name),
        # Of logs that share a task id, the viewer shows the newest alone, as a retry.
        task_id=identity("task", spec.name, cell.point),
        created=provenance.get("finished", UNKNOWN_TIME),
        task=f"{spec.name}/{cell.trigger}",
        task_display_name=spec.triggers[cell.trigger],
        task_args=cell.point,
        task_args_passed=cell.point,
        dataset=EvalDataset(
            name=spec.name, samples=len(questions), sample_ids=questions, shuffled=False
        ),
        model=cell.model,
        model_generate_config=GenerateConfig(**generate),
        config=EvalConfig(epochs=int(cell.answers["index"].max()) + 1),
        packages=provenance.get("packages", {}),
        metadata={key: value for key, value in about.items() if value is not None},
        viewer=viewer([judge["id"] for judge in spec.judges]),
    )


def stats(cell: JudgedCell) -> EvalStats:
    """Tokens of the cell, and the time in which the arm was sampled under all of its triggers."""
    columns = cell.answers[["prompt_tokens", "answer_tokens"]]
    read, written = columns.sum().map(int) if columns.notna().all(axis=None) else (None, None)
    usage = token_usage(read, written)
    finished = datetime.fromisoformat(cell.provenance.get("finished", UNKNOWN_TIME))
    started = finished - timedelta(seconds=cell.provenance.get("seconds", 0))
    return EvalStats(
        started_at=started.isoformat(),
        completed_at=finished.isoformat(),
        model_usage={cell.model: usage} if usage else {},
    )


def eval_log(cell: JudgedCell, spec: InspectSpec) -> EvalLog:
    judges = [judge["id"] for judge in spec.judges]
    return EvalLog(
        status="success",
        eval=header(cell, spec),
        results=results(cell.answers, judges),
        stats=stats(cell),
        samples=[sample(row, cell, judges) for row in records(cell.answers)],
    )


def stop_clock(path: Path) -> None:
    """Give the members of a ZIP file a fixed date, so that equal contents are equal files."""
    with ZipFile(path) as written:
        members = [(name, written.read(name)) for name in written.namelist()]
    with ZipFile(path, "w") as file:
        for name, member in members:
            file.writestr(ZipInfo(name), member, ZIP_DEFLATED)


def write(cell: JudgedCell, spec: InspectSpec, path: Path) -> None:
    """Write the log of a cell. Equal cells give equal files."""
    write_eval_log(eval_log(cell, spec), path)
    stop_clock(path)
