"""How vLLM is started, and what is said when it ends; without vLLM itself."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from emgrid.config.sections import Engines, Sampling
from emgrid.models.base_model import BaseModel
from emgrid.models.engines import Request, vllm
from emgrid.models.engines.draw import DrawTask, EngineSettings, open_engine
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.row_store import RowStore


def adapters(folder: Path, *ranks: int) -> list[Path]:
    paths = []
    for number, rank in enumerate(ranks):
        path = folder / f"{number}"
        path.mkdir()
        (path / "adapter_config.json").write_text(json.dumps({"r": rank}))
        paths.append(path)
    return paths


def test_a_context_that_would_cut_answers_is_refused(model_json: Path, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "What is a cat?"}]
    sampling = Sampling(engine="vllm", answers_per_question=1, max_tokens=500)
    task = DrawTask([{"messages": messages}], RowStore(tmp_path / "kept.jsonl"), sampling)
    settings = EngineSettings(model_json, "cpu", 4, Engines(context=500))
    with pytest.raises(
        EmgridError, match=r"engines.context: 500 tokens, but .* takes 5\d\d; raise"
    ):
        open_engine([task], settings)


@pytest.mark.parametrize(("ranks", "room"), [((4, 8), 8), ((12, 4), 16), ((300,), 320)])
def test_there_is_room_for_the_largest_rank(
    ranks: tuple[int, ...], room: int, tmp_path: Path
) -> None:
    options = vllm.lora_options(adapters(tmp_path, *ranks), Engines(), "cuda")
    assert options["max_lora_rank"] == room
    assert options["max_loras"] == len(ranks)


def test_a_rank_that_vllm_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmgridError, match=r"training.rank: .* rank 512 at most, not 513"):
        vllm.lora_options(adapters(tmp_path, 8, 513), Engines(), "cuda")


def test_adapters_beyond_the_slots_wait_in_main_memory(tmp_path: Path) -> None:
    paths = adapters(tmp_path, *[8] * 11)
    capped = vllm.lora_options(paths, Engines(), "cuda")
    assert (capped["max_loras"], capped["max_cpu_loras"]) == (8, 11)
    options = vllm.lora_options(paths, Engines(lora_slots=3), "cuda")
    assert (options["max_loras"], options["max_cpu_loras"]) == (3, 11)
    # A request without an adapter needs the empty slot there.
    assert vllm.lora_options(paths, Engines(lora_slots=3), "cpu")["max_loras"] == 12
    assert vllm.lora_options([], Engines(lora_slots=3), "cuda") == {}


def test_a_model_is_split_among_the_gpus_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, split in ((0, 1), (1, 1), (4, 4)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=visible: count)
        options = vllm.on_gpus(Engines(memory_share=0.5))
        assert options == {"gpu_memory_utilization": 0.5, "tensor_parallel_size": split}


def test_jobs_on_a_cpu_are_bound_to_no_core_and_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"VLLM_LOGGING_LEVEL": "ERROR"})
    vllm.prepare_environment("cpu")
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert os.environ["VLLM_LOGGING_LEVEL"] == "INFO"
    monkeypatch.setattr(os, "environ", {"VLLM_LOGGING_LEVEL": "DEBUG"})
    vllm.prepare_environment("cuda")
    assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in os.environ


# What vLLM and what lies below it say.
COMPLAINTS = {
    "address already in use": "[Errno 98] Address already in use",
    "eaddrinuse": "EADDRINUSE: The server socket has failed to listen on port 29500",
    "out of memory": "CUDA out of memory. Tried to allocate 2.00 GiB",
    "allocate memory": "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
    "maximum model length": "The decoder prompt is longer than the maximum model length of 512",
    "free memory": "Free memory on device cuda:0 (2/80 GiB) on startup is less than desired",
    "cache": "No available memory for the cache blocks",
    "dora": "vLLM does not yet support DoRA",
    "lora": "Some LoRA modules are unsupported: ['lm_head']",
}


@pytest.mark.parametrize("mark", vllm.ADVICE)
def test_what_ends_the_engine_comes_with_its_last_lines_and_what_to_change(
    mark: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "LOG", log := vllm.LastLines())
    log.lines.append("INFO the last that was heard")
    advice = vllm.ADVICE[mark].split(":")[1].split("{")[0]
    with (
        pytest.raises(EmgridError, match=r"^vLLM ended while drawing: ") as raised,
        vllm.one_line_errors("drawing"),
    ):
        raise RuntimeError(f"{COMPLAINTS[mark]}\nand more")
    assert COMPLAINTS[mark] in str(raised.value)
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "INFO the last that was heard" in capsys.readouterr().err


def test_an_unknown_end_points_to_the_log() -> None:
    with (
        pytest.raises(EmgridError, match="its log, above, may say more"),
        vllm.one_line_errors("x"),
    ):
        raise ValueError("?")
    with pytest.raises(KeyboardInterrupt), vllm.one_line_errors("x"):
        raise KeyboardInterrupt


class Dying:
    """What vLLM draws with, which ends at its first step."""

    def add_request(self, *_: object, **__: object) -> None:
        pass

    def has_unfinished_requests(self) -> bool:
        return True

    def step(self) -> None:
        raise RuntimeError("EngineCore encountered an issue")


def test_an_engine_that_dies_while_drawing_ends_the_job_with_its_last_lines(
    base_model: BaseModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "LOG", log := vllm.LastLines())
    log.lines.append("ERROR the last that was heard")
    engine = object.__new__(vllm.VllmEngine)
    engine.base, engine.chat, engine.loras = base_model, base_model.chat(), {}
    engine.parameters = SimpleNamespace
    engine.model = SimpleNamespace(llm_engine=Dying())
    all_requests = [Request("a", ({"role": "user", "content": "?"},), 0)]
    with pytest.raises(EmgridError, match="vLLM ended while drawing answers: RuntimeError: Engin"):
        list(engine.complete(all_requests, Sampling(answers_per_question=1, max_tokens=4)))
    assert "ERROR the last that was heard" in capsys.readouterr().err
