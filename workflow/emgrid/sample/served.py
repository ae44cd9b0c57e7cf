"""Draw an arm's answers from a model that is served behind an OpenAI-compatible endpoint.

Writes one file of answers per trigger with the fields that sampling writes, from kept rows plus
what is new. Every answer is on disk before the next is waited for, and none is paid for twice.
Knows nothing of judges.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from emgrid.config.base import Strict
from emgrid.config.endpoints import Endpoint
from emgrid.config.prices import spent
from emgrid.config.sections import Calls, ServedSampling
from emgrid.config.served import Asking, identity, kept_name
from emgrid.models.engines import Request
from emgrid.runtime import layout, provenance
from emgrid.runtime.errors import run_stage
from emgrid.runtime.files import write_json
from emgrid.runtime.manifest import write_record
from emgrid.runtime.row_store import KeptRows
from emgrid.sample.answers import AskedSpec, plan, write_answers

# Raised whenever an equal request would be made of equal settings in another way.
VERSION = 1


class ServedSpec(AskedSpec):
    """url: the endpoint's address."""

    url: str
    asking: Asking
    sampling: ServedSampling

    @property
    def identity(self) -> str:
        return identity(self.url, self.asking)


class Options(Strict):
    """How the endpoint is called; no answer depends on it."""

    endpoint: Endpoint = Endpoint()
    calls: Calls = Calls()


def draw_missing(
    planned: Sequence[dict[str, Any]], kept: KeptRows, spec: ServedSpec, options: Options
) -> int:
    """Draw what is not kept yet, and keep each answer as it comes; return how many were drawn.

    Where answers are lacking, those that were drawn with other neutral settings than are sent now
    are drawn again, so that an arm does not mix the two.
    """
    if all_alike(planned, kept):
        return 0
    from emgrid.models.endpoint.ledger import Ledger
    from emgrid.models.engines.endpoint import EndpointEngine
    from emgrid.runtime.progress_bar import bar

    asking, sampling = spec.asking, spec.sampling.whole()
    endpoint = options.endpoint.model_copy(update={"url": spec.url})
    price, limit = endpoint.price_of(asking.model), options.calls.spending_limit
    ledger = Ledger(f"served {asking.model}", asking.model, price, limit, spent(kept.path.parent))
    engine = EndpointEngine(asking, endpoint, options.calls, ledger)
    sent = engine.look_up()
    mark = {"sent": sent} if sent else {}
    missing = {row["key"]: row for row in planned if sent_for(kept, row["key"]) != sent}
    requests = [
        Request(key, tuple(row["messages"]), row["answer_seed"]) for key, row in missing.items()
    ]
    bodies = (asking.body(one.messages, sampling, one.seed) for one in requests)
    ledger.say_estimate(len(requests), "answers", bodies)
    try:
        with bar(len(requests), "answer") as progress:
            for completions in engine.complete(requests, sampling):
                kept.append(
                    one.row() | {"cost": cost_with(kept, one.key, one.cost)} | mark
                    for one in completions
                )
                progress.update(len(completions))
    finally:
        if engine.wasted:
            kept.append([{"key": f"unusable/{len(kept.rows)}", "cost": engine.wasted}])
        ledger.say_paid()
    return len(requests)


def sent_for(kept: KeptRows, key: str) -> dict[str, float] | None:
    """The neutral settings that a kept answer was drawn with; None if none is kept."""
    sent: dict[str, float] | None = kept.rows[key].get("sent", {}) if key in kept.rows else None
    return sent


def all_alike(planned: Sequence[dict[str, Any]], kept: KeptRows) -> bool:
    """Whether all answers are kept, and drawn with the same settings. They are not where a job
    was stopped that drew some again."""
    found = [sent_for(kept, row["key"]) for row in planned]
    return None not in found and all(one == found[0] for one in found)


def cost_with(kept: KeptRows, key: str, cost: float | None) -> float | None:
    """The cost of an answer, with that of the kept one whose place it takes."""
    before = kept.rows[key].get("cost") if key in kept.rows else None
    return cost if before is None else before + (cost or 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.sample.served", description=__doc__)
    parser.add_argument("--spec", required=True, help="ServedSpec as JSON")
    parser.add_argument("--options", default="{}", help="Options as JSON")
    parser.add_argument("--kept", required=True, type=Path, help="folder of the kept answers")
    parser.add_argument("--output", required=True, type=Path, help="folder of the answers")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    args = parser.parse_args()
    spec = ServedSpec.model_validate_json(args.spec)
    options = Options.model_validate_json(args.options)
    started = time.monotonic()
    planned = plan(spec, spec.sampling, spec.identity, VERSION)
    args.kept.mkdir(parents=True, exist_ok=True)
    # One job of a grid at a time, so that a spending limit holds and nothing is paid for twice.
    with FileLock(args.kept / ".endpoint.lock"):
        kept = KeptRows(args.kept / kept_name(spec.asking.model, spec.identity))
        drawn = draw_missing(planned, kept, spec, options)
    print(f"{drawn} answers drawn, {len(planned) - drawn} kept from before")
    write_answers(planned, kept, args.output)
    write_json(
        args.output / layout.PROVENANCE,
        {
            "stage": "served",
            "version": VERSION,
            "spec": spec.model_dump(mode="json", include={"questions", "triggers", "sampling"}),
            "endpoint": spec.url,
            "sent": kept.rows[planned[0]["key"]].get("sent", {}),
            **spec.asking.model_dump(mode="json"),
            "answers": len(planned),
            "drawn": drawn,
            **provenance.record("endpoint", time.monotonic() - started),
        },
    )
    write_record(args.record, args.output, [args.output], spec.triggers)


if __name__ == "__main__":
    run_stage(main)
