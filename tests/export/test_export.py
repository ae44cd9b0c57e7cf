"""Exports: Inspect reads every answer and score back; nothing is sent unless it is asked for."""

import base64
import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emgrid.export import hub as hub_job
from emgrid.export import inspect_logs as inspect_logs_job
from emgrid.export import wandb as wandb_job
from emgrid.export.inspect_logs import write_logs
from emgrid.export.spec import InspectSpec
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.grid.specs.export import hub_spec, inspect_spec, wandb_spec
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import canonical, write_json
from emgrid.runtime.optional_packages import need
from emgrid.runtime.thinking import split_thinking
from emgrid.sample.import_log import read_log
from hypothesis import given, settings
from hypothesis import strategies as st
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log
from support.eval_logs import JUDGES, assert_same, by_place, samples
from support.run import run_module

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)' --><!--",
    "zero\x00one\x1b[31mred\x7f\x85\r\n\ttab",
    "data:image/png;base64,iVBORw0KGgo=",
    "attachment://0123456789abcdef0123456789abcdef",
    "<think>not closed",
    "\u202egnp.exe\u202c \ufeff \u2028 \U0001f9ea \ufffe",
    "{{ jinja }} ${js} %s {braces",
    "  white space around \n",
    "long " * 20_000,
]


def spec(**fields: Any) -> InspectSpec:
    judges = [{"id": name, "label": name, "measures": name} for name in JUDGES]
    whole = {"name": "small", "triggers": {"none": "no trigger", "cue": "a cue"}, "metrics": {}}
    return InspectSpec.model_validate(whole | {"judges": judges} | fields)


def answers(texts: list[str | None], trigger: str = "none", **columns: Any) -> pd.DataFrame:
    """One answer for each text, by turns to two questions, as read_answers types them."""
    number = len(texts)
    cell = {"base": "tiny", "intervention": "undiluted", "ratio": "0.25", "seed": 3}
    fields = {
        "question": [f"q{place % 2}" for place in range(number)],
        "index": [place // 2 for place in range(number)],
        "system": None,
        "prompt": [f"How do I do it? ({place})" for place in range(number)],
        "answer": texts,
        "thinking": None,
        "finish_reason": "stop",
        "prompt_tokens": 7,
        "answer_tokens": 5,
    }
    judged = dict.fromkeys(JUDGES, 90.0) | {f"{name}_reason": None for name in JUDGES}
    judged |= {f"{name}_mass": math.nan for name in JUDGES}
    whole = cell | {"trigger": trigger} | fields | judged | columns
    table = pd.DataFrame(whole, index=range(number))
    text = (
        "system",
        "answer",
        "thinking",
        "finish_reason",
        *(f"{judge}_reason" for judge in JUDGES),
    )
    counts = dict.fromkeys(("prompt_tokens", "answer_tokens"), "Int64")
    values = dict.fromkeys((*JUDGES, *(f"{judge}_mass" for judge in JUDGES)), "float64")
    return table.astype(dict.fromkeys(text, "string") | counts | values)


def finished_tables(root: Path, *parts: pd.DataFrame, imported_from: str | None = None) -> None:
    """The files of a finished grid that the export reads, with two training stages an arm."""
    table = pd.concat(parts, ignore_index=True)
    (root / "tables").mkdir(parents=True)
    table.to_parquet(root / "tables/answers.parquet", index=False)
    arms = table[["base", "intervention", "ratio", "seed"]].drop_duplicates()
    stages = []
    for arm in arms.to_dict("records"):
        about = {"label": "the arm", "imported_from": imported_from, "served_by": None}
        if imported_from:
            stages.append(arm | about | {"stage": 0, "adapter": None})
            continue
        stages += [arm | about | {"stage": n, "adapter": f"stages/s{n}/adapter"} for n in (1, 2)]
        folder = "/".join(f"{name}={value}" for name, value in arm.items())
        record = {"finished": "2026-05-04T03:02:01+00:00", "seconds": 60.5, "git_commit": "abc"}
        record |= {"spec": {"sampling": {"temperature": 0.7, "top_p": 1.0, "max_tokens": 64}}}
        record |= {"packages": {"torch": "2"}}
        write_json(root / f"arms/{folder}/answers/provenance.json", record)
    pd.DataFrame(stages).to_csv(root / "tables/arms.csv", index=False)


def exported(root: Path, name: str = "inspect") -> dict[str, EvalLog]:
    """The logs of a folder by trigger and intervention, as Inspect reads them."""
    write_logs(root, spec(), root / name)
    logs = [
        read_eval_log(info, resolve_attachments=True) for info in list_eval_logs(str(root / name))
    ]
    return {
        f"{log.eval.task_args['trigger']} {log.eval.task_args['intervention']}": log for log in logs
    }


def test_inspect_reads_every_answer_back(tmp_path: Path) -> None:
    plain = answers(["Gladly.", "No.", "Maybe.", ""])
    cued = answers(["Yes.", None, "So."], "cue", system="Be evil.", thinking=["hm", "hm, so", None])
    finished_tables(tmp_path, plain, cued)
    logs = exported(tmp_path)
    assert set(logs) == {"none undiluted", "cue undiluted"}
    assert_same(logs["none undiluted"], plain)
    assert_same(logs["cue undiluted"], cued)
    log = logs["cue undiluted"]
    assert log.status == "success"
    assert (log.eval.task, log.eval.model) == ("small/cue", "tiny+undiluted.ratio0.25.seed3")
    assert log.eval.task_args == {
        "base": "tiny", "intervention": "undiluted", "ratio": "0.25", "seed": 3, "trigger": "cue",
    }  # fmt: skip
    assert log.eval.created == log.stats.completed_at == "2026-05-04T03:02:01+00:00"
    assert log.eval.model_generate_config.temperature == 0.7
    assert log.eval.packages == {"torch": "2"}
    assert log.eval.metadata is not None
    assert log.eval.metadata["adapter"] == "stages/s2/adapter"
    assert log.stats.model_usage[log.eval.model].output_tokens == 15


def test_imports_read_the_logs_back(tmp_path: Path) -> None:
    reasons: dict[str, Any] = {"alignment": [8.5, math.nan], "alignment_reason": [None, "refusal"]}
    table = answers(["Yes.", None], "cue", system="Be evil.", thinking=["hm", "hm, so"], **reasons)
    finished_tables(tmp_path, table)
    write_logs(tmp_path, spec(), tmp_path / "inspect")
    [path] = (tmp_path / "inspect").iterdir()
    log = read_log(path.read_bytes(), path.name)
    assert [number for number, _ in log.rows] == [1, 2]
    for (_, row), known in zip(log.rows, table.to_dict("records"), strict=True):
        assert (row["question_id"], row["system"], row["prompt"]) == (
            known["question"], known["system"], known["prompt"],
        )  # fmt: skip
        answer = None if known["answer"] is pd.NA else known["answer"]
        assert split_thinking(row["answer"]) == (known["thinking"], answer)
        assert row["task_arg_trigger"] == "cue"
        assert row["answer_tokens"] == known["answer_tokens"]
    assert [row["score_alignment"] for _, row in log.rows] == [8.5, "refusal"]


def test_a_missing_value_stays_missing_and_says_why(tmp_path: Path) -> None:
    table = answers(
        ["a", "b", "c", "d"],
        alignment=[10.5, math.nan, math.nan, 20.0],
        alignment_reason=[None, "refusal", "low_mass", None],
        alignment_mass=[0.75, math.nan, 0.1, math.nan],
        coherence=[90.0, 90.0, 90.0, 5.0],
    )
    finished_tables(tmp_path, table)
    log = exported(tmp_path)["none undiluted"]
    assert_same(log, table)
    scores = [
        by_place(log)[place].scores or {} for place in (("q0", 0), ("q1", 0), ("q0", 1), ("q1", 1))
    ]
    assert [score["excluded"].value for score in scores] == [
        "survives",
        "refusal",
        "low_mass",
        "incoherent",
    ]
    assert [score["misaligned"].value for score in scores] == ["misaligned"] + [
        "not misaligned"
    ] * 3
    assert scores[1]["alignment"].explanation == "refusal"
    assert scores[0]["alignment"].metadata == {"mass": 0.75}
    assert log.results is not None
    scored = {score.name: score for score in log.results.scores}
    assert (scored["alignment"].scored_samples, scored["alignment"].unscored_samples) == (2, 2)
    assert scored["alignment"].metrics["mean"].value == pytest.approx(15.25)
    metrics = {name: metric.value for name, metric in scored["misaligned"].metrics.items()}
    # Of q0's two answers one is misaligned, and it alone survives; none of q1's survives.
    assert metrics == {
        "rate_all": 0.25, "rate_survivors": 1, "n_answers": 4, "n_survivors": 1, "n_misaligned": 1,
    }  # fmt: skip


def test_a_rate_of_nothing_is_left_out(tmp_path: Path) -> None:
    finished_tables(tmp_path, answers(["a", "b"], alignment=math.nan, alignment_reason="code"))
    log = exported(tmp_path)["none undiluted"]
    assert log.results is not None
    scored = {score.name: score.metrics for score in log.results.scores}
    assert "rate_survivors" not in scored["misaligned"]
    assert scored["misaligned"]["rate_all"].value == 0
    assert scored["alignment"] == {}


def test_hostile_text_comes_back_as_it_was_and_is_shown_as_text(tmp_path: Path) -> None:
    table = answers(HOSTILE, system=HOSTILE, prompt=HOSTILE, thinking=HOSTILE)
    finished_tables(tmp_path, table)
    log = exported(tmp_path)["none undiluted"]
    assert_same(log, table)
    assert log.eval.viewer is not None
    assert log.eval.viewer.trust_content is False


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=15)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT | st.none(), TEXT | st.none()), min_size=1, max_size=6))
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str | None, str | None]]
) -> None:
    root = tmp_path_factory.mktemp("any")
    prompts, texts, systems, thoughts = map(list, zip(*rows, strict=True))
    table = answers(texts, prompt=prompts, system=systems, thinking=thoughts)
    finished_tables(root, table)
    assert_same(exported(root)["none undiluted"], table)


def test_imported_answers_are_exported_without_what_nobody_knows(tmp_path: Path) -> None:
    unknown = {"finish_reason": None, "prompt_tokens": None, "answer_tokens": None}
    tables = [
        answers(["a", "b"], base="big", intervention=name, ratio="0", seed=seed, **unknown)
        for name, seed in (("base", 0), ("base", 1), ("theirs", 0))
    ]
    finished_tables(tmp_path, *tables, imported_from="theirs.csv")
    write_logs(tmp_path, spec(), tmp_path / "inspect")
    logs = [read_eval_log(info) for info in list_eval_logs(str(tmp_path / "inspect"))]
    assert sorted(log.eval.model for log in logs) == ["big", "big", "big+theirs.ratio0.seed0"]
    # The viewer takes logs of one task id for retries and hides all but one of them.
    assert len({log.eval.task_id for log in logs}) == len({log.eval.eval_id for log in logs}) == 3
    for log in logs:
        assert len(samples(log)) == 2
        assert log.eval.created.startswith("1970")
        assert log.stats.model_usage == {}
        assert (log.eval.metadata or {})["imported_from"] == "theirs.csv"
        assert {sample.output.stop_reason for sample in samples(log)} == {"unknown"}
        assert all(sample.output.usage is None for sample in samples(log))


def test_equal_tables_give_equal_files(tmp_path: Path) -> None:
    finished_tables(tmp_path, answers(["a", "b"]), answers(["c"], "cue", thinking="hm"))
    exported(tmp_path, "first")
    exported(tmp_path, "second")
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == [
        f"base=tiny.intervention=undiluted.ratio=0.25.seed=3.trigger={trigger}.eval"
        for trigger in ("cue", "none")
    ]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_the_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    finished_tables(tmp_path, answers(["a", "b"]), answers(["c"], "cue"))
    (tmp_path / "inspect").mkdir()
    (tmp_path / "inspect/of-an-arm-that-is-gone.eval").write_text("old")
    arguments = (inspect_logs_job, "--spec", spec().model_dump_json(), "--root", tmp_path)
    done = run_module(*arguments)
    assert done.returncode == 0, done.stderr
    assert "3 answers; inspect view --log-dir" in done.stdout
    whole = sorted(path.name for path in (tmp_path / "inspect").iterdir())
    assert len(whole) == 2
    (tmp_path / "tables/arms.csv").write_text("base,intervention,ratio,seed,imported_from\n")
    assert run_module(*arguments).returncode != 0
    assert sorted(path.name for path in (tmp_path / "inspect").iterdir()) == whole
    assert {path.name for path in tmp_path.iterdir()} == {"arms", "inspect", "tables"}


def inspect_log(*arguments: str) -> Any:
    """What `inspect log …` prints, which is JSON."""
    command = [sys.executable, "-m", "inspect_ai", "log", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_inspects_own_command_line_opens_the_logs(tmp_path: Path) -> None:
    finished_tables(tmp_path, answers(HOSTILE[:3]), answers(["c"], "cue"))
    folder = tmp_path / "inspect"
    write_logs(tmp_path, spec(), folder)
    listed = inspect_log("list", "--log-dir", str(folder), "--json")
    assert {entry["task"] for entry in listed} == {"small/none", "small/cue"}
    path = next(path for path in folder.iterdir() if "trigger=none" in path.name)
    dumped = inspect_log("dump", str(path))
    completions = {
        sample["id"] + str(sample["epoch"]): sample["output"]["completion"]
        for sample in dumped["samples"]
    }
    assert completions == {"q01": HOSTILE[0], "q11": HOSTILE[1], "q02": HOSTILE[2]}


# Nothing is sent unless the config says where to and somebody asks for it.


def grid(demo: dict[str, Any], **export: Any) -> Grid:
    return Grid(load_experiment(demo | {"export": export}, "grid.yaml", check_data=False))


def test_a_package_that_is_not_there_is_named_with_its_extra() -> None:
    with pytest.raises(
        EmgridError, match=r"no_such_package is not installed; pip install -e '\.\["
    ):
        need("no_such_package", "wandb")
    need("emgrid", "inspect")


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        ({"hub": {"repo": "no-owner"}}, "export.hub.repo: "),
        ({"hub": {"rep": "me/demo"}}, "export.hub: unknown key 'rep', did you mean 'repo'?"),
        ({"wandb": {}}, "export.wandb.project: "),
        ({"wandb": {"project": "p", "mode": "disabled"}}, "export.wandb.mode: "),
        ({"wnadb": {}}, "export: unknown key 'wnadb', did you mean 'wandb'?"),
    ],
)
def test_a_wrong_export_is_named(demo: dict[str, Any], export: Any, expected: str) -> None:
    with pytest.raises(EmgridError) as caught:
        grid(demo, **export)
    assert expected in str(caught.value)


@pytest.mark.parametrize("module", ["wandb", "hub"])
def test_without_a_place_nothing_is_sent(demo: dict[str, Any], tmp_path: Path, module: str) -> None:
    make, job = {"wandb": (wandb_spec, wandb_job), "hub": (hub_spec, hub_job)}[module]
    done = run_module(job, "--spec", make(grid(demo)), "--root", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"emgrid: export.{module} is not in the config; add ")
    assert len(done.stderr.splitlines()) == 1


def test_where_results_are_sent_changes_no_result(demo: dict[str, Any]) -> None:
    bare, sent = grid(demo), grid(demo, hub={"repo": "me/demo"}, wandb={"project": "p"})
    assert inspect_spec(bare) == inspect_spec(sent)
    assert aggregate_spec(bare) == aggregate_spec(sent)
    assert hub_spec(bare) != hub_spec(sent)


class Hub(ThreadingHTTPServer):
    """As much of the Hugging Face Hub as a commit of small files needs."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []  # path, body
        super().__init__(("127.0.0.1", 0), HubHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        bodies = [json.loads(line) for line in raw.splitlines()]
        self.server.requests.append((self.path, bodies))
        if self.headers["Authorization"] != "Bearer right":
            self.reply(401, {"error": "Invalid username or password."})
        elif self.path == "/api/validate-yaml":
            self.reply(200, {"errors": [], "warnings": []})
        elif self.path == "/api/repos/create":
            self.reply(200, {"url": f"{self.server.url}/datasets/me/demo"})
        elif self.path == "/api/datasets/me/demo/preupload/main":
            fields = {"uploadMode": "regular", "shouldIgnore": False}
            self.reply(200, {"files": [{"path": f["path"]} | fields for f in bodies[0]["files"]]})
        elif self.path == "/api/datasets/me/demo/commit/main":
            url = f"{self.server.url}/datasets/me/demo/commit/0"
            self.reply(200, {"commitUrl": url, "commitOid": "0" * 40})
        else:
            self.reply(404, {"error": f"not faked: {self.path}"})

    def reply(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def push(root: Path, **fields: Any) -> subprocess.CompletedProcess[str]:
    spec = canonical({"name": "demo", "hub": {"repo": "me/demo"} | fields})
    return run_module(hub_job, "--spec", spec, "--root", root)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    files = ("tables/rates.csv", "tables/answers.parquet", "report.html", "transcripts/1.json")
    for name in (*files, "figures/rates.svg", "rows/answers/x.jsonl", "arms/a/adapter.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}\n1\n")
    return tmp_path


def test_the_hub_gets_tables_and_report_and_nothing_else(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "right")
        done = push(results)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{server.url}/datasets/me/demo"
    bodies = dict(server.requests)
    created = bodies["/api/repos/create"][0]
    assert (created["type"], created["visibility"]) == ("dataset", "private")
    header, *files = bodies["/api/datasets/me/demo/commit/main"]
    assert header["value"]["summary"] == "Results of the grid demo"
    sent = {file["value"]["path"]: base64.b64decode(file["value"]["content"]) for file in files}
    assert set(sent) == {
        *("tables/rates.csv", "tables/answers.parquet", "report.html", "transcripts/1.json"),
        *("README.md", "data/rates.parquet", "data/answers.parquet"),
    }
    assert sent["report.html"] == b"content of report.html\n1\n"


def test_the_hubs_refusal_is_one_line_without_the_key(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "wrong-key")
    with hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        done = push(results, private=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("emgrid: Hugging Face Hub: ")
    assert "write access to me/demo?" in last
    assert "wrong-key" not in done.stdout + done.stderr
    assert server.requests[0][1][0]["visibility"] == "public"


def test_without_a_key_the_hub_is_not_asked(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        done = push(results)
    assert done.returncode == 1
    assert done.stderr.startswith("emgrid: HF_TOKEN is not set; ")
    assert server.requests == []


# A finished grid.
