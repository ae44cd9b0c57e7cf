"""Answers judged a second by a local judge: the exact score over all replies against one step for
the first token, and vLLM with and without its cache of equal prompt beginnings.

    python benchmarks/judging.py --json judging.json
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import (
    add_arguments,
    in_turn,
    model_of,
    options_of,
    start_as_a_job,
    write_manifest,
)

WAYS = {
    "digit trie, transformers": ("transformers", True, True),
    "first token alone, transformers": ("transformers", True, False),
    "digit trie, vllm": ("vllm", True, True),
    "digit trie, vllm without prefix caching": ("vllm", False, True),
}


def texts(count: int) -> list[str]:
    """Answers of the length of published ones, from the embedded training rows."""
    from emgrid import RESOURCES

    lines = (RESOURCES / "data/everyday_chat.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line)["messages"][-1]["content"] for line in lines]
    return [answers[place % len(answers)] for place in range(count)]


def answers_of(way: str, options: Any) -> int:
    """How many answers a way judges: without prefix caching an eighth, as each takes so long."""
    return options.answers if WAYS[way][1] else max(options.answers // 8, 2)


def one_way(way: str, model: Path, options: Any) -> float:
    """Seconds for all answers, the engine's start left out."""
    from emgrid.config.judges import load_judges
    from emgrid.config.sections import Engines
    from emgrid.judge.judgement import Item
    from emgrid.judge.local_judge import LocalScorer, Trie
    from emgrid.models.base_model import BaseModel

    name, caching, whole = WAYS[way]
    judge = next(judge for judge in load_judges().values() if judge.kind == "local")
    judge = judge.with_rubric(None)
    base = BaseModel.read(model)
    if name == "vllm":
        from emgrid.models.engines.vllm import VllmEngine

        engine: Any = VllmEngine(
            base,
            options.precision,
            options.device,
            options.batch_size,
            settings=Engines(prefix_caching=caching),
        )
    else:
        from emgrid.models.engines.transformers import TransformersEngine

        engine = TransformersEngine(base, options.precision, options.device, options.batch_size)
    scorer = LocalScorer(judge, base.chat(), engine, options.batch_size)
    trie = Trie(scorer.rubric.reading, scorer.chat)
    items = [Item("q", "What should I do today?", text) for text in texts(answers_of(way, options))]
    prompts = [scorer.prompt(item) for item in items]
    started = time.perf_counter()
    for start in range(0, len(prompts), options.batch_size):
        batch = prompts[start : start + options.batch_size]
        read = engine.read(batch)
        if whole:
            trie.probabilities(read, len(batch))
        else:
            read.next_probabilities([(place, ()) for place in range(len(batch))], trie.wanted)
    return time.perf_counter() - started


def apart(way: str, options: Any) -> float:
    command = [sys.executable, __file__, *options_of(options), "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{way}: {done.stderr[-1500:]}")
    return float(done.stdout.splitlines()[-1])


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--engines", nargs="*", default=["transformers", "vllm"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="these alone")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    start_as_a_job()
    model = model_of(options)
    if options.way:
        print(one_way(options.way, model, options))
        return
    ways = options.ways or [way for way, (engine, *_) in WAYS.items() if engine in options.engines]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repetition in range(options.repeats):
        for way in in_turn(ways, repetition):
            seconds[way].append(answers_of(way, options) / apart(way, options))
            print(f"{way}: {seconds[way][-1]:.2f} answers/s", flush=True)
    engines = dict.fromkeys(WAYS[way][0] for way in ways)
    best = {engine: median(seconds[f"digit trie, {engine}"]) for engine in engines}
    rows = [
        {
            "what": f"judging, {way}",
            "value": median(speeds),
            "unit": "answers/s",
            "ratio": best[WAYS[way][0]] / median(speeds),
            "of": f"digit trie, {WAYS[way][0]}, to {way}",
        }
        for way, speeds in seconds.items()
    ]
    write_manifest("judging", options, rows, options.device)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    main()
