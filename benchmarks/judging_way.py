"""Runs one way of judging.py in a separate process: prints seconds and peak memory as JSON.

Runs with the package of this commit or with that of an older one (`engines` at the top, as in
5fa754f), whichever is on PYTHONPATH, so it imports nothing of the package at the top.
"""

import argparse
import importlib
import json
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MODULES = {
    "job": ("emgrid.runtime.job", "emgrid.lean"),
    "judges": ("emgrid.config.judges", "emgrid.judge.panel"),
    "sections": ("emgrid.config.sections", "emgrid.settings"),
    "local": ("emgrid.judge.local_judge", "emgrid.judge.local"),
    "models": ("emgrid.models.base_model", "emgrid.models"),
    "vllm": ("emgrid.models.engines.vllm", "emgrid.engines.vllm"),
    "transformers": ("emgrid.models.engines.transformers", "emgrid.engines.transformers"),
}


def module(name: str) -> Any:
    """A module by its name in this commit, or in the older one."""
    now, before = MODULES[name]
    try:
        return importlib.import_module(now)
    except ModuleNotFoundError as problem:
        if not now.startswith(str(problem.name)):
            raise
        return importlib.import_module(before)


class Judgements:
    """A store that keeps nothing."""

    rows: dict[str, Any] = {}  # noqa: RUF012 (stays empty)

    def keep_all(self, judged: Iterable[Any]) -> None:
        for _ in judged:
            pass


def engine_of(options: argparse.Namespace, base: Any) -> Any:
    arguments = (base, options.precision, options.device, options.batch_size)
    if options.engine == "transformers":
        return module("transformers").TransformersEngine(*arguments)
    settings = module("sections").Engines(prefix_caching=not options.without_caching)
    judge = local_judge().model_copy(update={"engine": "vllm", "precision": options.precision})
    return module("local").open_engine(judge, base, options.device, options.batch_size, settings)


def local_judge() -> Any:
    judges = module("judges").load_judges().values()
    return next(judge for judge in judges if judge.kind == "local").with_rubric(None)


def judge(options: argparse.Namespace, base: Any, engine: Any) -> float:
    """Seconds to judge all texts; with `first`, only the first token of each reply is scored."""
    local = module("local")
    item_of = importlib.import_module("emgrid.judge.judgement").Item
    scorer = local.LocalScorer(local_judge(), base.chat(), engine, options.batch_size)
    texts = json.loads(options.folder.joinpath("texts.json").read_text(encoding="utf-8"))
    items = [item_of("q", "What should I do today?", text) for text in texts]
    started = time.perf_counter()
    if options.way != "first":
        scorer.score(items, Judgements())
        return time.perf_counter() - started
    trie = local.Trie(scorer.rubric.reading, scorer.chat)
    prompts = sorted((scorer.prompt(item) for item in items), key=len)
    if hasattr(engine, "share"):
        engine.share(prompts)
    for start in range(0, len(prompts), options.batch_size):
        batch = prompts[start : start + options.batch_size]
        rows = [(place, ()) for place in range(len(batch))]
        engine.read(batch).next_probabilities(rows, trie.wanted)
    return time.perf_counter() - started


def likelihood(options: argparse.Namespace, engine: Any) -> float:
    """Seconds to score all matched answers."""
    path = options.folder.joinpath("conversations.json")
    rows = [
        engine.chat.training_row(messages)
        for messages in json.loads(path.read_text(encoding="utf-8"))
    ]
    started = time.perf_counter()
    engine.log_likelihoods(rows)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("trie", "first", "likelihood"))
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--without-caching", action="store_true")
    parser.add_argument("--model", required=True, type=Path, help="model.json")
    parser.add_argument("--folder", required=True, type=Path, help="texts and conversations")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    job = module("job")
    job.leave_out(*job.UNUSED)
    base = module("models").BaseModel.read(options.model)
    engine = engine_of(options, base)
    used = resource.getrusage(resource.RUSAGE_SELF)
    started = used.ru_utime + used.ru_stime
    if options.way == "likelihood":
        seconds = likelihood(options, engine)
    else:
        seconds = judge(options, base, engine)
    used = resource.getrusage(resource.RUSAGE_SELF)
    numbers = {"seconds": seconds, "peak_memory": used.ru_maxrss / 1024}
    print(json.dumps(numbers | {"core_seconds": used.ru_utime + used.ru_stime - started}))


if __name__ == "__main__":
    main()
