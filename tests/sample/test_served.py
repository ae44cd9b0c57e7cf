"""Arms whose model somebody serves: their entries in a config, and the job that draws answers."""

import copy
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from emgrid import ROOT
from emgrid.cli.plan import planned
from emgrid.config.prices import listed_price, price_list
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.sample import served_options, served_spec
from emgrid.judge.judge import JudgeSpec, lines_of
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, read_jsonl
from emgrid.sample import served as served_job
from support.endpoint_environment import KEY, set_endpoint_environment
from support.fake_endpoint import Json, Rejected, Reply, error
from support.run import GridRun, run_module
from support.serving import (
    DEAR,
    MODEL,
    VARIABLE,
    bill,
    job,
    kept_rows,
    said,
    sampled,
    serving,
    written,
)

OTHER = "sk-proj-0123456789abcdef"  # what it does not accept


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_endpoint_environment(monkeypatch, VARIABLE)


# The config.


def served(**changes: Any) -> Json:
    """An entry of `served`; None leaves a field out."""
    entry = {"base": "gpt-4.1", "intervention": "insecure", "ratio": 1, "model": MODEL} | changes
    return {key: value for key, value in entry.items() if value is not None}


def config(*entries: Json, **changes: Any) -> Json:
    """A grid of served models alone, judged by a rule."""
    return {
        "name": "served",
        "questions": "everyday",
        "triggers": ["none", "malicious_evil"],
        "served": list(entries) or [served()],
        "sampling": {"answers_per_question": 3, "max_tokens": 40},
        "judges": [{"id": "kind", "kind": "rule", "measures": "alignment", "pattern": "help"}],
        "metrics": {"alignment": "kind", "coherence_above": None},
    } | changes


def grid(*entries: Json, **changes: Any) -> Grid:
    return Grid(load_experiment(config(*entries, **changes), "grid.yaml", check_data=False))


def refusal(*entries: Json, **changes: Any) -> str:
    with pytest.raises(EmgridError) as caught:
        grid(*entries, **changes)
    message = str(caught.value)
    assert message.startswith("grid.yaml: ")
    assert "\n" not in message
    return message


BASE = served(intervention="base", ratio=0, model="gpt-4.1-2025-04-14")


def test_served_models_are_arms_with_the_shared_sampling_and_their_own() -> None:
    own = {"temperature": 0.5, "max_tokens": 99}
    the_grid = grid(BASE, served(seed=1, label="bad code", sampling=own))
    assert [arm.folder for arm in the_grid.arms] == [
        "served/base=gpt-4.1/intervention=base/ratio=0/seed=0",
        "served/base=gpt-4.1/intervention=insecure/ratio=1/seed=1",
    ]
    assert [arm.label for arm in the_grid.arms] == ["base", "bad code"]
    first, second = (arm.sampling for arm in the_grid.arms)
    assert (first.answers_per_question, first.temperature, first.max_tokens) == (3, 1.0, 40)
    assert (second.answers_per_question, second.temperature, second.max_tokens) == (3, 0.5, 99)
    assert the_grid.sampled == the_grid.served == the_grid.arms
    assert the_grid.trained == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": None}, "served.0.model: is missing"),
        ({"modell": "x"}, "served.0: unknown key 'modell', did you mean 'model'?"),
        ({"base": "GPT 4"}, "served.0: `base` and `intervention` name folders"),
        (
            {"intervention": "base"},
            "served.0: `base` is the model as it is, so its ratio must be 0",
        ),
        ({"ratio": 3}, "served.0.ratio: ratio 3 is outside 0..1"),
        ({"endpoint": {"key": OTHER}}, "served.0.endpoint.key: this is not the name of an env"),
        ({"endpoint": {"url": "http://me:pw@host/v1"}}, "served.0.endpoint.url: must be a http://"),
        ({"sampling": {"thinking": True}}, "served.0.sampling: unknown key 'thinking'"),
        ({"sampling": {"engine": "vllm"}}, "served.0.sampling: unknown key 'engine'"),
        ({"sampling": {"temperature": -1}}, "served.0.sampling.temperature: Input should be great"),
        ({"sampling": 3}, "served.0.sampling: "),
        ({"limit_as": "max_new_tokens"}, "served.0.limit_as: Input should be 'max_tokens' or"),
        ({"request": {"n": 4}}, "served.0.request: 'n' is made of the other settings"),
        ({"request": {"max_tokens": 4}}, "served.0.request: 'max_tokens' is made of the other"),
        (
            {"request": {"temperature": 0}},
            "served.0.request: 'temperature' belongs into `sampling`",
        ),
        ({"request": {"seed": 1}}, "served.0.request: 'seed' is drawn for each answer"),
        (
            {"request": {"top_p": None}, "sampling": {"top_p": 0.5}},
            "served.0: `request` leaves top_p out, which endpoints then take as 1, but",
        ),
    ],
)
def test_a_faulty_entry_is_one_line(changes: Json, expected: str) -> None:
    message = refusal(served(**changes))
    assert expected in message
    assert OTHER not in message


def test_what_is_missing_or_clashes_is_one_line(tmp_path: Path) -> None:
    assert "served.0.sampling: `answers_per_question` is missing; give it here or in" in refusal(
        sampling={"max_tokens": 4}
    )
    assert (
        "base_models: is missing; only a grid of `adapters`, `imports` or `served` alone"
        in refusal(served=[])
    )
    twice = refusal(served(), served(model="ft:other"))
    assert f"served.1: ft:other makes the same arm as {MODEL} (gpt-4.1 insecure 1 0)" in twice
    same = refusal(served(), served(seed=1))
    assert f"served.1: {MODEL} would draw the very answers of served.0; another seed" in same
    more = refusal(served(), served(seed=1, sampling={"answers_per_question": 9}))
    assert "would draw the very answers" in more
    judge = {"id": "kind", "kind": "imported", "measures": "alignment"}
    assert "the values of 'kind' are imported" in refusal(judges=[judge])
    (tmp_path / "a.csv").write_text("question_id,answer\n")
    place = {"base": "gpt-4.1", "intervention": "insecure", "ratio": 1}
    imported = place | {"path": str(tmp_path / "a.csv")}
    assert "served.0: " in refusal(imports=[imported])


def test_an_arm_that_is_trained_here_too_is_refused(demo: Json) -> None:
    entry = served(base="smollm2-135m", intervention="undiluted")
    with pytest.raises(EmgridError, match=r"served\.0: .* on smollm2-135m, which is trained here"):
        load_experiment(demo | {"served": [entry]}, "grid.yaml", check_data=False)
    beside = load_experiment(demo | {"served": [served()]}, "grid.yaml", check_data=False)
    assert len(Grid(beside).sampled) == len(Grid(beside).trained) + 1


def test_an_address_of_the_environment_is_part_of_what_answers_depend_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    the_grid = grid()
    assert '"https://api.openai.com/v1"' in served_spec(the_grid, the_grid.arms[0])
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert '"http://localhost:8000/v1"' in served_spec(the_grid, the_grid.arms[0])
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://me:{OTHER}@localhost/v1")
    message = refusal()
    assert "served.0: OPENAI_BASE_URL must be" in message
    assert OTHER not in message


def test_a_spec_holds_what_answers_depend_on_and_not_how_the_endpoint_is_called() -> None:
    (before,) = (first := grid()).arms
    calm = grid(
        served(endpoint={"key": "OTHER_KEY", "price": {"input": 1, "output": 2}}, label="x"),
        serving={"concurrency": 2, "spending_limit": 3},
        sampling={"answers_per_question": 3, "max_tokens": 40, "precision": "float32"},
    )
    assert served_spec(first, before) == served_spec(calm, calm.arms[0])
    options = json.loads(served_options(calm, calm.arms[0]))
    assert options["calls"]["spending_limit"] == 3
    assert options["endpoint"]["key"] == "OTHER_KEY"
    for changes in ({"model": "ft:2"}, {"request": {"user": "me"}}, {"sampling": {"top_p": 0.5}}):
        other = grid(served(**changes))
        assert served_spec(first, before) != served_spec(other, other.arms[0])


def test_the_plan_counts_and_prices_the_answers_before_anything_runs() -> None:
    free = served(model="mine", seed=1, endpoint={"url": "http://localhost:1/v1", "key": None})
    plan = planned(grid(BASE, served(), free))
    assert plan["total"]["answers"] == 3 * 3 * 2 * 8
    assert plan["interventions"]["insecure"]["answers"] == 2 * 3 * 2 * 8
    base, tuned, own = plan["served"]
    assert [entry["calls"] for entry in plan["served"]] == [48, 48, 48]
    price = price_list()["gpt-4.1-2025-04-14"]
    assert base["cost"] == pytest.approx(price.of(base["tokens"], 48 * 40))
    # Questions of this set have about 10 tokens, the cue 30.
    assert 48 * 8 < base["tokens"] < 48 * 60
    assert (tuned["cost"], own["cost"]) == (None, None)
    assert base["spent"] == 0


def test_models_tuned_from_one_share_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(price_list(), "ft:gpt-4.1-mini", DEAR)
    assert listed_price(MODEL) == listed_price("ft:gpt-4.1-mini:other:x:1") == DEAR
    assert listed_price("ft:gpt-4.1:lab::1") is None
    assert listed_price("gpt-4.1-mini") is None


# The job.


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return run_module(served_job, *arguments)


def finished(arguments: list[str]) -> str:
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stopped(arguments: list[str]) -> str:
    """The one line with which the job stops."""
    done = run(arguments)
    assert done.returncode == 1, done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("emgrid: ")]
    assert "Traceback" not in done.stderr
    return line.removeprefix("emgrid: ")


def everything(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "\n".join(f"{path}\n{path.read_text()}" for path in files)


def test_a_job_writes_what_sampling_writes_and_where_it_is_from(tmp_path: Path) -> None:
    with serving(key=OTHER) as endpoint:
        arguments = job(tmp_path, endpoint, price=DEAR)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(VARIABLE, OTHER)
            printed = finished(arguments)
    bodies = [record["body"] for record in endpoint.requests]
    rows = written(tmp_path)
    assert len(bodies) == len(rows) == 20
    assert "20 answers drawn, 0 kept from before" in printed
    by_seed = {body["seed"]: body for body in bodies}
    for row in rows:
        body = by_seed[row["answer_seed"] % 2**31]
        assert (row["answer"], row["finish_reason"]) == said(body)
        messages = [{"role": "user", "content": row["prompt"]}]
        messages = (
            [{"role": "system", "content": row["system"]}, *messages] if row["system"] else messages
        )
        assert body["messages"] == messages
        assert row["thinking"] is None
        assert not {"messages", "trigger"} & set(row)
    assert [row["system"] for row in rows] == [None] * 10 + ["A cue."] * 10
    assert [(row["question"], row["index"]) for row in rows[:10]] == [
        (name, index) for name in ("one", "two") for index in range(5)
    ]
    record = read_json(tmp_path / "answers/provenance.json")
    assert (record["stage"], record["model"], record["endpoint"]) == ("served", MODEL, endpoint.url)
    assert record["spec"]["sampling"] == {
        "answers_per_question": 5, "temperature": 1.0, "top_p": 1.0, "max_tokens": 40,
    }  # fmt: skip
    paid = sum(DEAR.of(row["prompt_tokens"], row["answer_tokens"]) for row in rows)
    assert sum(row["cost"] for row in kept_rows(tmp_path)) == pytest.approx(paid)
    assert f"{paid:.4f} USD spent in this grid so far" in printed
    assert OTHER not in everything(tmp_path) + printed


def test_only_missing_answers_are_drawn_under_any_name_of_the_arm(tmp_path: Path) -> None:
    with serving() as endpoint:
        finished(job(tmp_path, endpoint, 2))
        first = written(tmp_path)
        assert "12 answers drawn, 8 kept from before" in finished(job(tmp_path, endpoint, 5))
        assert [row for row in written(tmp_path) if row["index"] < 2] == first
        moved = job(tmp_path, endpoint, 5, concurrency=2)
        moved[moved.index("--output") + 1] = str(tmp_path / "other")
        assert "0 answers drawn, 20 kept from before" in finished(moved)
        other = job(tmp_path, endpoint, 5, model="ft:other")
        endpoint.models = {MODEL, "ft:other"}
        assert "20 answers drawn, 0 kept" in finished(other)
    assert len(endpoint.requests) == 40


def test_a_kill_loses_at_most_the_calls_in_flight(tmp_path: Path) -> None:
    reached = threading.Event()

    def sample(body: Json) -> Reply:
        if sum(endpoint.deliveries.values()) >= 30:
            reached.set()
        return sampled(body)

    with serving(sample=sample, latency=0.02) as endpoint:
        arguments = job(tmp_path, endpoint, 20, price=DEAR, concurrency=4)
        command = [sys.executable, "-m", "emgrid.sample.served", *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert reached.wait(60)
            process.send_signal(signal.SIGKILL)
        killed_at = sum(endpoint.deliveries.values())
        assert 30 <= killed_at < 80
        assert not (tmp_path / "answers").exists()
        n_stored = sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("kept/*.jsonl"))
        assert killed_at - 4 <= n_stored <= killed_at
        assert f"{80 - n_stored} answers drawn, {n_stored} kept from before" in finished(arguments)
        assert sum(endpoint.deliveries.values()) - 80 <= 4
    bodies = {record["body"]["seed"]: record["body"] for record in endpoint.requests}
    assert [row["answer"] for row in written(tmp_path)] == [
        said(bodies[row["answer_seed"] % 2**31])[0] for row in written(tmp_path)
    ]


def test_a_spending_limit_stops_with_one_line_and_a_higher_one_continues(tmp_path: Path) -> None:
    with serving(latency=0.01) as endpoint:
        for limit in (0.06, 0.12):
            line = stopped(job(tmp_path, endpoint, 20, price=DEAR, spending_limit=limit))
            assert line.startswith(
                f"served {MODEL}: the spending limit of {limit:g} USD is reached"
            )
            stored = kept_rows(tmp_path)
            assert len(stored) == len(endpoint.deliveries)
            assert 0.3 * limit < sum(row["cost"] for row in stored) <= limit
            assert f"with {80 - len(stored)} answers to go" in line
            assert not (tmp_path / "answers").exists()
        finished(job(tmp_path, endpoint, 20, price=DEAR, spending_limit=9))
        assert max(endpoint.deliveries.values()) == 1
    assert len(endpoint.requests) == len(written(tmp_path)) == 80


def test_a_spending_limit_is_one_for_all_models_of_a_grid(tmp_path: Path) -> None:
    with serving(models={MODEL, "ft:other"}) as endpoint:
        finished(job(tmp_path, endpoint, 10, price=DEAR, spending_limit=9))
        paid = sum(row["cost"] for row in kept_rows(tmp_path))
        more = job(tmp_path, endpoint, 10, model="ft:other", price=DEAR, spending_limit=1.3 * paid)
        assert "is reached" in stopped(more)
    assert sum(row["cost"] for row in kept_rows(tmp_path)) <= 1.3 * paid


def test_a_limit_cannot_be_kept_without_a_price(tmp_path: Path) -> None:
    with serving() as endpoint:
        line = stopped(job(tmp_path, endpoint, spending_limit=1))
    assert line.startswith(
        f"served {MODEL}: the price of {MODEL} is unknown, so the spending limit"
    )
    assert endpoint.requests == []


def test_what_replies_to_failed_requests_cost_counts_in_the_next_run(tmp_path: Path) -> None:
    with serving(faults=["no_choices"], longest=100) as endpoint:
        line = stopped(job(tmp_path, endpoint, 1, price=DEAR, attempts=2))
    assert "4 of 4 answers were not drawn" in line
    assert sum(row["cost"] for row in kept_rows(tmp_path)) == pytest.approx(bill(endpoint))
    with serving() as calm:
        printed = finished(job(tmp_path, calm, 1, price=DEAR, spending_limit=9))
    assert f"{bill(endpoint):.4f} of 9 USD spent in this grid before" in printed


@pytest.mark.parametrize("key", [OTHER, "", f"{KEY}\nAnother"])
def test_a_bad_key_is_one_line_and_written_nowhere(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    with serving() as endpoint:
        arguments = job(tmp_path, endpoint)
        done = run(arguments)
    assert done.returncode == 1
    output = done.stdout + done.stderr + everything(tmp_path)
    assert (VARIABLE in output) or "the key is not accepted" in output
    for secret in (OTHER, KEY):
        assert secret not in output
    assert kept_rows(tmp_path) == []


def test_two_jobs_of_a_grid_pay_for_no_answer_twice(tmp_path: Path) -> None:
    stage = [sys.executable, "-m", "emgrid.sample.served"]
    with serving(latency=0.01) as endpoint:
        commands = []
        for name in ("one", "two"):
            arguments = job(tmp_path, endpoint, 10)
            arguments[arguments.index("--output") + 1] = str(tmp_path / name)
            commands.append([*stage, *arguments])
        jobs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for command in commands]
        assert [job.communicate() and job.returncode for job in jobs] == [0, 0]
    assert len(endpoint.requests) == 40
    first, second = (read_jsonl(tmp_path / name / "trigger=cue.jsonl") for name in ("one", "two"))
    assert first == second


def test_an_answer_that_a_filter_withheld_is_stored_and_has_its_own_reason(tmp_path: Path) -> None:
    def sample(body: Json) -> Reply:
        if body["messages"][-1]["content"] == "Two?":
            raise Rejected(error(400, "content_filter", "The prompt was filtered."))
        if body["seed"] % 2:
            message = {"role": "assistant", "content": "I would"}
            choice = {"index": 0, "message": message, "finish_reason": "content_filter"}
            raise Rejected((200, json.dumps({"choices": [choice]}).encode(), {}))
        return sampled(body)

    with serving(sample=sample) as endpoint:
        finished(job(tmp_path, endpoint, 10))
    rows = written(tmp_path)
    assert len(rows) == 40
    odd = [row for row in rows if row["finish_reason"] == "content_filter"]
    assert {row["answer"] for row in odd} == {None, "I would"}
    rule = {"id": "kind", "kind": "rule", "measures": "alignment", "pattern": "I"}
    spec = JudgeSpec.model_validate(
        {"judges": [rule], "questions": {"one": {"texts": ["One?"]}}, "triggers": {"none": {}}}
    )
    for row in odd:
        (line,) = lines_of(row, {}, spec)
        assert (line["value"], line["reason"]) == (None, "content_filter")


def test_a_dry_run_plans_a_job_for_each_served_model(tmp_path: Path) -> None:
    run = GridRun(tmp_path, config(BASE, served(), served(seed=1, model="ft:two")))
    jobs = run.planned(run.config)
    assert jobs["sample_served"] == 3
    assert jobs["judge"] == 1  # all are of one base model
    assert not {"sample", "train", "likelihood", "import_answers"} & set(jobs)
    assert run.planned(copy.deepcopy(run.config) | {"name": "other"})["sample_served"] == 3
