"""``backtest audit``: a run put to the tests that a believable one passes, as a card of passes and failures.

No check asks the model about the run's own days: the record answers. Noise and planted worlds are new
days, so there a model is asked, through the reply cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np

from varve.backtests.integrity.foresight import check_foresight
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.cards import AUDIT_FILE, AuditCard, Check
from varve.backtests.record.differences import JournalReplies, compared, first_difference, shown_both
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import JournaledStep, recorded_steps, rows_of_record
from varve.backtests.record.step import StepRecord
from varve.backtests.results.metric import p_in_words
from varve.backtests.results.sharpe import edge, one_sided_p
from varve.backtests.results.tables import check_ledger
from varve.backtests.simulate.from_record import model_json, prepare_recorded
from varve.backtests.simulate.prepare import Prepared, prepare
from varve.backtests.simulate.starting_memory import knows_future
from varve.backtests.simulate.steps import cached_replies, simulate, steps_of
from varve.errors import IntegrityError, UsageError, VarveError
from varve.files import replace_file
from varve.finllm.chat.reply_records import recorded_model
from varve.finllm.engine.lockstep import in_step
from varve.finllm.served import check_key_may_go
from varve.market.observation import Observation
from varve.market.perturb import FUTURES
from varve.market.worlds.specs import PLANTED_PHRASE
from varve.strategies.base import Trader
from varve.types import Action, Decision, Trace

CUTS = 6
"""At how many instants the future is another: so many of all decisions, and of those with an order; beside
them at two lessons."""

MAX_SEEDS = 1000
LEVEL = 0.01
EDGE_TICKER = "MSFT"
EDGE_WARMUP, EDGE_START, EDGE_END = date(2022, 11, 1), date(2023, 1, 3), date(2023, 6, 27)
"""120 decisions a seed."""

OnCheck = Callable[[Check], None]


def audit_run(
    folder: RunFolder, *, seeds: int = 20, servers: Sequence[str] = (), on_check: OnCheck | None = None
) -> list[Check]:
    """Put a finished run to every check; the card is kept in its folder for the report.

    Args:
        seeds: of the noise and planted worlds, 120 decisions each; 0 leaves these two out.
        servers: base URLs that may get the user's key though only the record names them.
        on_check: called with each result as it is there.

    Raises:
        UsageError: if the run was not finished, ``seeds`` is 1, below 0 or above
            1,000, or a key would go to a server that
            the record alone names.
        BadFileError: if its folder is not whole.
    """
    run = folder.read()
    if run.status != "finished" or run.run_digest is None:
        raise UsageError(
            f"run {folder.run_id} is {run.status}, a finished one expected",
            mend=f"backtest run --resume {folder.run_id}",
        )
    if seeds < 0 or seeds == 1 or seeds > MAX_SEEDS:
        raise UsageError(f"{seeds:.3g} seeds given; 0, or 2 to {MAX_SEEDS} expected", mend="--seeds 20")
    if seeds and run.model is not None:
        again = f"backtest audit {run.run_id} --send-key-to BASE_URL"
        check_key_may_go(run.config.llm, named_by=f"run {run.run_id}", given=servers, again=again)
    prepared = prepare_recorded(folder, run, recorded_model(model_json(run)))
    recorded = recorded_steps(folder, run)
    checks = []
    for check in _checks(folder, prepared, recorded, seeds):
        checks.append(check)
        if on_check:
            on_check(check)
    card = AuditCard(run_digest=run.run_digest, seeds=seeds, checks=tuple(checks))
    replace_file(folder.path / AUDIT_FILE, json.dumps(card.as_json(), indent=2) + "\n")
    return checks


def _checks(
    folder: RunFolder, prepared: Prepared, recorded: list[JournaledStep], seeds: int
) -> Iterator[Check]:
    yield _judged("future", lambda: _future(prepared, recorded))
    yield _judged("determinism", lambda: _determinism(prepared, recorded))
    yield _judged(
        "replay", lambda: f"run digest {str(replay_run(folder).digest)[:12]}… again, without a model"
    )
    yield _judged("ledger", lambda: _ledger(folder, prepared))
    if seeds:
        yield from _edges(prepared, seeds)


def _judged(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, passed=True, detail=check())
    except IntegrityError as error:
        return Check(name=name, passed=False, detail=error.message)
    except VarveError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever the trader stops with is the finding)
        # What a trader needed in its run and does not find here is no fact of the market.
        detail = f"it stops with {type(error).__name__}: {error}"
        return Check(name=name, passed=False, detail=detail)


def _future(prepared: Prepared, recorded: Sequence[JournaledStep]) -> str:
    """Another future after each of some instants leaves everything before it as it was."""
    began_with = prepared.snapshot
    if began_with is not None and knows_future(began_with, prepared.data, prepared.window):
        until = f"{began_with.last_available_at:%Y-%m-%d}"
        raise IntegrityError(f"the memory that it began with knows what happened until {until}")
    places = [i for i, step in enumerate(recorded) if step.row.phase == "trade"]
    # A sizer can only peek where there is something to size.
    ordering = [i for i in places if recorded[i].row.orders]
    # What a lesson saw of the first days of the test is before every instant of it.
    lessons = [i for i, step in enumerate(recorded) if step.row.phase == "warmup"]
    taught = {lessons[len(lessons) // 2], lessons[-1]} if lessons else set()
    chosen = sorted({*taught, *_spread(places), *_spread(ordering)})
    for cut in chosen:
        for seed in range(FUTURES):
            check_foresight(prepared, recorded, cut, seed=seed)
    return f"{len(chosen)} instants, {FUTURES} other futures at each: nothing before them changed"


def _spread(places: Sequence[int]) -> list[int]:
    if not places:
        return []
    return [places[round(share * (len(places) - 1))] for share in np.linspace(0.1, 1.0, CUTS)]


def _determinism(prepared: Prepared, recorded: Sequence[JournaledStep]) -> str:
    """Two walks with the same replies are the same walk."""
    first, second = (_walk(prepared, recorded) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        rows = [rows_of_record("", record) for record in (one, other)]
        for table in rows[0]:
            then, now = ([compared(row) for row in made[table]] for made in rows)
            found = first_difference(then, now)
            if found:
                raise IntegrityError(
                    f"on {one.session} two runs with equal settings differ: {table}{found.path} is "
                    + " or ".join(shown_both(found)),
                )
    return f"two runs of {len(first)} steps are equal"


def _walk(prepared: Prepared, recorded: Sequence[JournaledStep]) -> list[StepRecord]:
    replies = JournalReplies(recorded)
    return list(
        steps_of(
            prepared,
            memory_folder=None,
            run_id=recorded[0].row.run_id,
            trace=Trace(),
            replies=replies,
        )
    )


def _ledger(folder: RunFolder, prepared: Prepared) -> str:
    """vectorbt's replay of the fills gives the ledger's profit."""
    difference = check_ledger(folder, prepared.data)
    return f"vectorbt traded the fills again: at most {difference:.1e} of initial equity apart"


class Listener(Trader):
    """Long after the planted phrase, flat otherwise: whoever listens there has an edge."""

    name = "listener"

    def decide(self, observation: Observation) -> Decision:
        """Listen."""
        said = any(PLANTED_PHRASE in document.text for document in observation.new_documents())
        return self._single(Action.BUY if said else Action.FLAT)


def _edges(prepared: Prepared, seeds: int) -> Iterator[Check]:
    """No edge where there is none, and one found where one is planted."""
    on_noise = _edge_p(prepared, "noise", seeds)
    told = p_in_words(on_noise)
    yield Check(
        name="noise world",
        passed=on_noise > LEVEL,
        detail=f"an edge where none can be: {told} over {seeds} seeds (must be above {LEVEL})",
    )
    listener = replace(prepared, trader_class=Listener, trader_config=Listener.Config())
    power = _edge_p(listener, "planted", seeds)
    yield Check(
        name="planted world",
        passed=power < LEVEL,
        detail=f"a trader that listens for the planted phrase is found: p = {power:.1e} "
        f"(must be below {LEVEL})",
    )
    own = _edge_p(prepared, "planted", seeds)
    heard = "hears it" if own < LEVEL else "does not hear it"
    yield Check(name="planted world, this agent", passed=None, detail=f"it {heard}: p = {own:.2g}")


def _edge_p(prepared: Prepared, world: str, seeds: int) -> float:
    runs = [_in_world(prepared, world, seed) for seed in range(seeds)]
    return one_sided_p(in_step([(run.model, partial(gross_edge, run)) for run in runs]))


def _in_world(prepared: Prepared, world: str, seed: int) -> Prepared:
    """The same trader and settings in a sample world of that seed."""
    learns = prepared.trader_class.allows_warm_up
    changes = {
        "agent": prepared.config.agent if prepared.trader_class is not Listener else "buy-and-hold",
        "settings": prepared.config.settings
        if prepared.trader_class is not Listener
        else prepared.config.trading_settings,
        "ticker": EDGE_TICKER,
        "data": "sample",
        "world": world,
        "world_seed": seed,
        "seed": seed,
        "start": EDGE_START,
        "end": EDGE_END,
        "warmup_start": EDGE_WARMUP if learns else None,
        "fill": "auto",
        "memory": None,
    }
    made = prepare(prepared.config.model_copy(update=changes))
    return replace(made, trader_class=prepared.trader_class, trader_config=prepared.trader_config)


def gross_edge(prepared: Prepared) -> float:
    """The run's edge before costs: mean of (position − its mean so far) × return from fill to next fill."""
    with cached_replies(prepared, wanted=True) as cached:
        records = [r for r in simulate(prepared, replies=cached) if r.phase == "trade"]
    bars, first = prepared.data.bars, prepared.window.first
    held = [float(np.sign(r.portfolio.position(r.instrument))) for r in records[:-1]]
    opens = bars.open[first + 1 : first + 1 + len(records)]
    return edge(held, (opens[1:] / opens[:-1] - 1.0).tolist())
