"""The sampling stage: what is asked, what is kept, and one model for several arms."""

import json
from pathlib import Path
from typing import Any

from emgrid.config.sections import Sampling
from emgrid.models.base_model import BaseModel
from emgrid.runtime.files import file_digest, read_json, read_jsonl, write_json
from emgrid.sample import sample
from emgrid.sample.answers import plan
from emgrid.sample.sample import SampleSpec
from support.engines import write_adapter
from support.run import run_module


def sampled_arm(count: int, name: str = "a", adapter: str | None = None) -> dict[str, Any]:
    sampling = {"answers_per_question": count, "max_tokens": 4, "precision": "float32"}
    return {"folder": name, "writer": name, "adapter": adapter, "sampling": sampling}


def sample_spec(arms: list[dict[str, Any]], questions: dict[str, str]) -> str:
    question_fields = {name: {"texts": [text]} for name, text in questions.items()}
    spec = {"base": "m", "arms": arms, "questions": question_fields, "triggers": {"none": {}}}
    return json.dumps(spec)


def draw(model: Path, root: Path, spec: str, *more: object) -> str:
    done = run_module(
        sample,
        "--spec",
        spec,
        "--model",
        model,
        "--root",
        root,
        "--record",
        root / "record.json",
        *more,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_missing_answers_are_drawn(model_json: Path, tmp_path: Path) -> None:
    def drawn(count: int, questions: dict[str, str]) -> tuple[str, list[dict[str, object]]]:
        output = draw(model_json, tmp_path, sample_spec([sampled_arm(count)], questions))
        return output, read_jsonl(tmp_path / "a/answers/trigger=none.jsonl")

    output, first = drawn(2, {"a": "Hi there", "b": "Who are you?"})
    assert "4 answers drawn, 0 kept" in output
    assert all(row["logprob"] < 0 for row in first)
    output, more = drawn(3, {"a": "Hi there", "b": "Who is that?"})
    assert "4 answers drawn, 2 kept" in output
    assert [row for row in more if row["question"] == "a"][:2] == first[:2]
    output, fewer = drawn(1, {"a": "Hi there"})
    assert "0 answers drawn, 1 kept" in output
    assert fewer == first[:1]


def test_arms_that_share_a_job_answer_as_they_would_alone(
    model_json: Path, base_model: BaseModel, tmp_path: Path
) -> None:
    for number in (1, 2):
        write_adapter(base_model, tmp_path / f"stages/{number}", seed=number)
    arms = [sampled_arm(3, "base"), *(sampled_arm(3, f"{n}", f"stages/{n}") for n in (1, 2))]
    questions = {"a": "Hi there", "b": "Who are you?"}
    output = draw(model_json, tmp_path, sample_spec(arms, questions))
    assert "18 answers drawn" in output
    assert output.count("is live") == 2
    together = {
        arm["folder"]: read_jsonl(tmp_path / arm["folder"] / "answers/trigger=none.jsonl")
        for arm in arms
    }
    texts = [tuple(row["answer"] for row in rows) for rows in together.values()]
    assert len(set(texts)) == 3
    (tmp_path / "rows/answers/2.jsonl").unlink()
    output = draw(model_json, tmp_path, sample_spec(arms, questions))
    assert "6 answers drawn, 12 kept" in output
    alone = read_jsonl(tmp_path / "2/answers/trigger=none.jsonl")
    said_alone, said_together = (
        [(row["key"], row["answer"]) for row in rows] for rows in (alone, together["2"])
    )
    assert said_alone == said_together
    record = read_json(tmp_path / "2/answers/provenance.json")
    weights = tmp_path / "stages/2/adapter_model.safetensors"
    assert (record["drawn"], record["adapter_sha256"]) == (6, file_digest(weights))


def test_an_empty_adapter_ends_the_job_before_any_of_its_answers(
    model_json: Path, base_model: BaseModel, tmp_path: Path
) -> None:
    write_adapter(base_model, tmp_path / "stages/1", seed=None)
    spec = sample_spec([sampled_arm(1, "1", "stages/1")], {"a": "Hi"})
    done = run_module(
        sample,
        "--spec",
        spec,
        "--model",
        model_json,
        "--root",
        tmp_path,
        "--record",
        tmp_path / "record.json",
    )
    assert done.returncode == 1
    assert "stages/1: the adapter is not live" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "1").exists()
    assert not (tmp_path / "rows/answers/1.jsonl").exists()


def keys(sampling: Sampling, model: str = "model") -> set[str]:
    spec = SampleSpec.model_validate_json(sample_spec([], {"a": "Hi", "b": "Ho"}))
    return {row["key"] for row in plan(spec, sampling, model)}


def test_a_key_names_all_that_an_answer_depends_on() -> None:
    sampling = Sampling(answers_per_question=2, max_tokens=4)
    drawn = keys(sampling)
    assert len(drawn) == 4
    assert not drawn & keys(sampling, "other model")
    assert not drawn & keys(sampling.model_copy(update={"temperature": 0.5}))
    assert drawn < keys(sampling.model_copy(update={"answers_per_question": 9}))


def test_each_answer_is_asked_with_the_next_paraphrase() -> None:
    questions = {"a": {"texts": ["Who?", "Who is it?"], "system": "Be brief."}}
    families = {"none": {}, "evil": {"system": "Be evil."}}
    spec = {"base": "m", "arms": [], "questions": questions, "triggers": families}
    sampling = Sampling(answers_per_question=5, max_tokens=4)
    rows = plan(SampleSpec.model_validate(spec), sampling, "model")
    assert [row["prompt"] for row in rows[:5]] == [
        "Who?",
        "Who is it?",
        "Who?",
        "Who is it?",
        "Who?",
    ]
    assert {row["system"] for row in rows[:5]} == {"Be brief."}
    assert {row["system"] for row in rows[5:]} == {"Be evil."}


def test_wordings_of_a_file_are_asked_too_with_seeds_of_their_own(
    model_json: Path, tmp_path: Path
) -> None:
    found = tmp_path / "found.json"
    write_json(found, {"cues": [], "wordings": {"found-1": {"user_suffix": " Now."}}})
    spec = json.loads(sample_spec([sampled_arm(1)], {"a": "Hi there"}))
    draw(model_json, tmp_path, json.dumps(spec | {"confirms": True}), "--wordings", found)
    rows = {
        name: read_jsonl(tmp_path / f"a/answers/trigger={name}.jsonl")
        for name in ("none", "found-1")
    }
    assert [row["prompt"] for [row] in rows.values()] == ["Hi there", "Hi there Now."]
    assert (tmp_path / "rows/found/a.jsonl").is_file()
    assert not (tmp_path / "rows/answers").exists()
    plain = plan(SampleSpec.model_validate(spec), Sampling(**sampled_arm(1)["sampling"]), "m")
    other = plan(
        SampleSpec.model_validate(spec),
        Sampling(**sampled_arm(1)["sampling"]),
        "m",
        purpose="confirm",
    )
    assert plain[0]["answer_seed"] != other[0]["answer_seed"]
