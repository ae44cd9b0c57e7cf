"""Draw an arm's answers from a model that is served behind an OpenAI-compatible endpoint.

Reads the row store. Writes one file of answers per trigger, with the same fields as sampled
answers; answers that the store lacks are drawn. Each is stored as it arrives, so that none is paid
for twice. Knows nothing of judges.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from emgrid.config.base import Strict
from emgrid.config.endpoints import Endpoint
from emgrid.config.prices import spent
from emgrid.config.sections import Calls, Sampling, ServedSampling
from emgrid.config.served import Asking, identity, kept_name
from emgrid.config.turns import spoken, standing_for
from emgrid.models.engines import Request
from emgrid.models.engines.own_replies import by_depth, said, with_replies
from emgrid.runtime import layout, provenance
from emgrid.runtime.files import write_json
from emgrid.runtime.job import run_job
from emgrid.runtime.manifest import write_manifest
from emgrid.runtime.row_store import RowStore
from emgrid.sample.allocate import read_limits
from emgrid.sample.answers import AskedSpec, plan, plan_replies, write_answers

# Raise this when equal settings give another request.
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
    """How the endpoint is called. Answers do not depend on it."""

    endpoint: Endpoint = Endpoint()
    calls: Calls = Calls()


def draw_missing(
    planned: Sequence[dict[str, Any]], store: RowStore, spec: ServedSpec, options: Options
) -> int:
    """Draw the answers that are not stored, storing each as it arrives; return how many were drawn.

    planned: the model's own replies that answers wait for come before them. If any are missing,
    stored answers that were drawn with other neutral settings are drawn again, so that an arm does
    not mix two settings.
    """
    if all_alike(planned, store):
        return 0
    from emgrid.models.endpoint.endings import demand_living
    from emgrid.models.endpoint.ledger import Ledger
    from emgrid.models.engines.endpoint import EndpointEngine
    from emgrid.runtime.progress_bar import bar

    asking, sampling = spec.asking, spec.sampling.whole()
    endpoint = options.endpoint.model_copy(update={"url": spec.url})
    price, limit = endpoint.price_of(asking.model), options.calls.spending_limit
    ledger = Ledger(f"served {asking.model}", asking.model, price, limit, spent(store.path.parent))
    left = sum(row["key"] not in store.rows for row in planned)
    demand_living(ledger.who, asking.model, endpoint, left, "answers")
    engine = EndpointEngine(asking, endpoint, options.calls, ledger)
    sent = engine.look_up()
    mark = {"sent": sent} if sent else {}
    missing = {row["key"]: row for row in planned if sent_for(store, row["key"]) != sent}
    bodies = (
        asking.body(standing_for(row["messages"], ""), sampling, row["answer_seed"])
        for row in missing.values()
    )
    ledger.say_estimate(len(missing), "answers", bodies)
    try:
        with bar(len(missing), "answer") as progress:
            for rows in by_depth(missing.values()):
                for drawn in draw(engine, rows, store, sampling):
                    store.append(row | mark for row in drawn)
                    progress.update(len(drawn))
    finally:
        if engine.wasted:
            store.append([{"key": f"unusable/{len(store.rows)}", "cost": engine.wasted}])
        ledger.say_paid()
    return len(missing)


def draw(
    engine: Any, rows: Sequence[dict[str, Any]], store: RowStore, sampling: Sampling
) -> Iterator[list[dict[str, Any]]]:
    """Yield drawn rows as they arrive. rows: those whose replies are stored."""
    replies = {row["key"]: said(row, store) for row in rows}
    requests = [
        Request(row["key"], tuple(spoken(row["messages"], reply)), row["answer_seed"])
        for row, reply in zip(rows, replies.values(), strict=True)
    ]
    for completions in engine.complete(requests, sampling):
        yield [
            with_replies(completion.row(), replies[completion.key])
            | {"cost": cost_with(store, completion.key, completion.cost)}
            for completion in completions
        ]


def sent_for(store: RowStore, key: str) -> dict[str, float] | None:
    """The neutral settings that a stored answer was drawn with; None if it is not stored."""
    sent: dict[str, float] | None = store.rows[key].get("sent", {}) if key in store.rows else None
    return sent


def all_alike(planned: Sequence[dict[str, Any]], store: RowStore) -> bool:
    """Whether all answers are stored and were drawn with the same settings. They may differ if a
    job was stopped while it drew some again."""
    sent = [sent_for(store, row["key"]) for row in planned]
    return None not in sent and all(settings == sent[0] for settings in sent)


def cost_with(store: RowStore, key: str, cost: float | None) -> float | None:
    """The cost of an answer, plus that of the stored answer that it replaces."""
    before = store.rows[key].get("cost") if key in store.rows else None
    return cost if before is None else before + (cost or 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.sample.served", description=__doc__)
    parser.add_argument("--spec", required=True, help="ServedSpec as JSON")
    parser.add_argument("--options", default="{}", help="Options as JSON")
    parser.add_argument("--allocation", type=Path, help="which questions are asked, if not all")
    parser.add_argument("--kept", required=True, type=Path, help="folder of the row stores")
    parser.add_argument("--output", required=True, type=Path, help="folder of the answers")
    parser.add_argument("--record", required=True, type=Path, help="what was written, as JSON")
    args = parser.parse_args()
    spec = ServedSpec.model_validate_json(args.spec)
    options = Options.model_validate_json(args.options)
    started = time.monotonic()
    limits = next(iter(read_limits(args.allocation).values()), None)
    planned = plan(spec, spec.sampling, spec.identity, VERSION, limits)
    replies = plan_replies(planned, spec.sampling, spec.identity, VERSION)
    rows = [*replies, *planned]
    args.kept.mkdir(parents=True, exist_ok=True)
    # One job of a grid at a time, so that the spending limit holds and nothing is paid for twice.
    with FileLock(args.kept / ".endpoint.lock"):
        store = RowStore(args.kept / kept_name(spec.asking.model, spec.identity))
        drawn = draw_missing(rows, store, spec, options)
    print(f"{drawn} answers drawn, {len(rows) - drawn} kept from before")
    write_answers(planned, store, args.output)
    write_json(
        args.output / layout.PROVENANCE,
        {
            "stage": "served",
            "version": VERSION,
            "spec": spec.model_dump(mode="json", include={"questions", "triggers", "sampling"}),
            "endpoint": spec.url,
            "sent": store.rows[planned[0]["key"]].get("sent", {}),
            **spec.asking.model_dump(mode="json"),
            "answers": len(planned),
            "drawn": drawn,
            **provenance.record("endpoint", time.monotonic() - started),
        },
    )
    write_manifest(args.record, args.output, [args.output], spec.triggers)


if __name__ == "__main__":
    run_job(main)
