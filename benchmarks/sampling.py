"""Tokens drawn a second: emgrid's transformers engine against plain `generate` and against vLLM;
and several adapters through one job against one job each, start-up included.

    python benchmarks/sampling.py --json sampling.json
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
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

ARMS = 3


def prompts(count: int) -> list[tuple[int, tuple[dict[str, str], ...]]]:
    """`count` seeds and conversations: the default grid's questions, in turn."""
    from emgrid.config.question_files import load_questions

    texts = [
        text
        for question in load_questions("everyday").questions.values()
        for text in question.texts
    ]
    return [
        (seed, ({"role": "user", "content": texts[seed % len(texts)]},)) for seed in range(count)
    ]


def plain_generate(model: Path, options: Any, count: int, batch: int) -> tuple[int, float]:
    """Tokens drawn and seconds taken by transformers' own generate."""
    import torch
    from emgrid.models.base_model import BaseModel

    base = BaseModel.read(model)
    chat, weights = base.chat(), base.load(options.precision, options.device)
    chat.tokenizer.padding_side = "left"
    token_ids = [chat.prompt(list(messages)) for _, messages in prompts(count)]
    torch.manual_seed(0)
    drawn, started = 0, time.perf_counter()
    for start in range(0, len(token_ids), batch):
        rows = {"input_ids": token_ids[start : start + batch]}
        inputs = chat.tokenizer.pad(rows, return_tensors="pt").to(options.device)
        with torch.inference_mode():
            output = weights.generate(
                **inputs,
                do_sample=True,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                max_new_tokens=options.max_tokens,
                pad_token_id=chat.tokenizer.pad_token_id,
                eos_token_id=base.eos_token_ids,
            )
        for row in output[:, inputs["input_ids"].shape[1] :].tolist():
            ends = [place for place, token in enumerate(row) if token in base.eos_token_ids]
            drawn += ends[0] if ends else len(row)
    return drawn, time.perf_counter() - started


def by_engine(name: str, model: Path, options: Any, slots: int) -> tuple[int, float]:
    """Tokens drawn and seconds taken by one of emgrid's engines, its start left out; slots: answers
    that are drawn at once."""
    from emgrid.config.sections import Engines, Sampling
    from emgrid.models.engines import Request
    from emgrid.models.engines.draw import DrawTask, EngineSettings, open_engine
    from emgrid.runtime.row_store import RowStore

    sampling = Sampling(
        engine=name,
        answers_per_question=1,
        max_tokens=options.max_tokens,
        precision=options.precision,
    )
    requests = [Request(str(seed), messages, seed) for seed, messages in prompts(options.answers)]
    planned = [{"messages": list(request.messages)} for request in requests]
    with tempfile.TemporaryDirectory() as folder:
        task = DrawTask(planned, RowStore(Path(folder) / "kept.jsonl"), sampling)
        engine = open_engine([task], EngineSettings(model, options.device, slots, Engines()))
    list(engine.complete(requests[: slots // 4 or 1], sampling))  # warm
    started = time.perf_counter()
    drawn = sum(
        completion.answer_tokens
        for part in engine.complete(requests, sampling)
        for completion in part
    )
    return drawn, time.perf_counter() - started


OURS = "transformers engine"
WAYS = {
    "one": "one prompt at a time",
    "batches": "batches of 16",
    "transformers": OURS,
    "vllm": "vllm engine",
}


def ways_of(options: Any) -> list[str]:
    """The chosen ways in words, an engine's once for each number of slots."""
    names = []
    for way in options.ways:
        slots = options.slots if way in ("transformers", "vllm") else [None]
        names += [WAYS[way] + (f", {count} slots" if count else "") for count in slots]
    return names


def one_way(way: str, model: Path, options: Any) -> tuple[int, float]:
    if way == WAYS["one"]:
        return plain_generate(model, options, max(options.answers // 12, 2), 1)
    if way == WAYS["batches"]:
        return plain_generate(model, options, options.answers, 16)
    engine, slots = way.split(" engine, ")
    return by_engine(engine, model, options, int(slots.split()[0]))


def compared(speeds: dict[str, list[float]], options: Any) -> list[dict[str, Any]]:
    """A row for each way: how much faster ours is, with as many slots, or else the first number."""
    rows = []
    for way, rates in speeds.items():
        slots = way.split(", ")[1] if ", " in way else f"{options.slots[0]} slots"
        ours = f"{OURS}, {slots}"
        rows.append(
            {
                "what": f"sampling, {way}",
                "value": median(rates),
                "unit": "tokens/s",
                "ratio": median(speeds[ours]) / median(rates) if ours in speeds else None,
                "of": f"{ours}, to {way}" if ours in speeds else None,
            }
        )
    return rows


def apart(way: str, options: Any) -> tuple[int, float]:
    """Measure in a separate process, so that no way finds what another has left."""
    command = [sys.executable, __file__, *options_of(options), "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{way}: {done.stderr[-1500:]}")
    drawn, seconds = json.loads(done.stdout.splitlines()[-1])
    return drawn, seconds


def write_adapters(model: Path, folder: Path, options: Any) -> None:
    import torch
    from emgrid.models.base_model import BaseModel
    from peft import LoraConfig, get_peft_model

    base = BaseModel.read(model).load(options.precision, options.device)
    for number in range(ARMS):
        torch.manual_seed(number)
        config = LoraConfig(r=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        wrapped = get_peft_model(base, config)
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.02)
        wrapped.save_pretrained(folder / f"adapter{number}")
        base = wrapped.unload()


def arm(number: int, engine: str, options: Any) -> dict[str, Any]:
    sampling = {"engine": engine, "answers_per_question": options.answers // 16 or 1}
    sampling |= {"max_tokens": options.max_tokens, "precision": options.precision}
    name = f"arm{number}"
    return {"folder": name, "writer": name, "adapter": f"adapter{number}", "sampling": sampling}


def seconds_of_jobs(model: Path, folder: Path, engine: str, options: Any, together: bool) -> float:
    """Seconds that the sampling stage takes for all adapters, in one job or in one each."""
    questions = {str(seed): {"texts": [messages[0]["content"]]} for seed, messages in prompts(8)}
    arms = [arm(number, engine, options) for number in range(ARMS)]
    shutil.rmtree(folder / "rows", ignore_errors=True)
    started = time.perf_counter()
    for group in [arms] if together else [[arm] for arm in arms]:
        spec = {"base": "m", "arms": group, "questions": questions, "triggers": {"none": {}}}
        command = [sys.executable, "-m", "emgrid.sample.sample", "--spec", json.dumps(spec)]
        command += ["--model", str(model), "--root", str(folder), "--device", options.device]
        command += ["--batch-size", str(options.slots[0])]
        command += ["--record", str(folder / "record.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"adapters with {engine}: {done.stderr[-1500:]}")
    return time.perf_counter() - started


TOGETHER, APART = "one for all", "one job each"


def adapters_through_jobs(model: Path, engine: str, options: Any) -> dict[str, Any]:
    """A row: the adapters through one job, against one each."""
    seconds: dict[str, list[float]] = {TOGETHER: [], APART: []}
    with tempfile.TemporaryDirectory() as name:
        write_adapters(model, Path(name), options)
        for repetition in range(options.repeats):
            for how in in_turn(list(seconds), repetition):
                took = seconds_of_jobs(model, Path(name), engine, options, how == TOGETHER)
                seconds[how].append(took)
                print(f"{ARMS} adapters, {engine}, {how}: {took:.1f} s", flush=True)
    return {
        "what": f"{ARMS} adapters through one job, {engine}",
        "value": median(seconds[TOGETHER]),
        "unit": "s",
        "ratio": median(seconds[APART]) / median(seconds[TOGETHER]),
        "of": f"{APART} to {TOGETHER}",
    }


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--answers", type=int, default=256)
    parser.add_argument("--slots", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    engines = ["transformers", "vllm"]
    parser.add_argument("--adapters", nargs="*", choices=engines, default=engines)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    start_as_a_job()
    model = model_of(options)
    if options.way:
        print(json.dumps(one_way(options.way, model, options)))
        return
    ways = ways_of(options)
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for repetition in range(options.repeats):
        for way in in_turn(ways, repetition):
            drawn, seconds = apart(way, options)
            speeds[way].append(drawn / seconds)
            print(f"{way}: {drawn / seconds:.1f} tokens/s", flush=True)
    rows = compared(speeds, options)
    rows += [adapters_through_jobs(model, engine, options) for engine in options.adapters]
    write_manifest("sampling", options, rows, options.device)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    main()
