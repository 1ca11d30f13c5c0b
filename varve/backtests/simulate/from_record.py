"""A run read back from its folder: its data, its settings, and who may write to it now."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder, software
from varve.backtests.record.inputs import read_inputs
from varve.backtests.record.run_record import RunRecord
from varve.backtests.simulate.starting_memory import snapshot_of_run
from varve.backtests.simulate.window import Window
from varve.errors import IntegrityError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from varve.backtests.simulate.prepare import Prepared
    from varve.finllm.chat.reply_source import Identity
    from varve.market.data import InstrumentData


def recorded_data(folder: RunFolder, run: RunRecord) -> InstrumentData:
    """The data of a run: its ``inputs.parquet``, or, of a run without one, what is stored now.

    Raises:
        BadFileError: if the file is missing or damaged.
        IntegrityError: if the data is not what the run saw.
    """
    if run.bundle:
        data, origin = read_inputs(folder.inputs), str(folder.inputs)
    else:
        from varve.backtests.simulate.prepare import prepare

        config = RunConfig.build(**{**run.config.as_json(), "memory": None, "tune": False})
        data, origin = prepare(config).data, "the data stored now"
    if data.content_hash != run.data_hash:
        raise IntegrityError(
            f"{origin} is not the data of this run: hash {data.content_hash[:12]}, "
            f"run.json says {run.data_hash[:12]}",
            mend="copy the run folder again" if run.bundle else "import the data of the run again",
        )
    return data


def prepare_recorded(folder: RunFolder, run: RunRecord, model: BaseChatModel | None) -> Prepared:
    """The run as it was prepared, from its own record; ``model`` answers what is not recorded.

    Raises:
        VarveError: as :func:`recorded_data`, and where the agent is not installed.
    """
    from varve.backtests.simulate.prepare import Prepared, find_trader

    config = run.settings()
    trader_class = find_trader(config.agent)
    data, window = recorded_data(folder, run), run.window
    return Prepared(
        config=config,
        trader_class=trader_class,
        # Of a tuned run these are the settings that its search chose.
        trader_config=trader_class.Config.build(
            **(run.agent_settings if config.tune else config.agent_settings)
        ),
        data=data,
        label=run.data_label,
        window=Window(
            bar_index(data, window.warmup_start),
            bar_index(data, window.start),
            bar_index(data, window.end),
        ),
        model=model if trader_class.needs_model else None,
        snapshot=snapshot_of_run(folder, run),
        rules=run.rules,
    )


def model_json(run: RunRecord) -> Identity | None:
    """Return the model of a run as its record names it; None for an agent that asks none."""
    return None if run.model is None else run.model.identity


def bar_index(data: InstrumentData, session: str) -> int:
    """The place of a session (ISO date) in the data.

    Raises:
        IntegrityError: if it is not there.
    """
    wanted = date.fromisoformat(session)
    for i in range(len(data.bars)):
        if data.bars.session(i) == wanted:
            return i
    raise IntegrityError(f"the run's record names the session {session}, which its data does not hold")


def check_software(run: RunRecord) -> None:
    """That a run goes on under the major versions that it began with.

    Raises:
        IntegrityError: naming each that differs.
    """
    then, now = run.software.versions, software().versions
    differing = [
        f"{name} {then[name]}, now {now.get(name, 'absent')}"
        for name in then
        if _major(then[name]) != _major(now.get(name, "absent"))
    ]
    if differing:
        raise IntegrityError(
            f"run {run.run_id} began with other software: {'; '.join(differing)}",
            mend="install those versions, or start the run anew",
        )


def _major(version: str) -> str:
    parts = version.split(".")
    # Before 1.0 the second number is the one that breaks things; so it is for Python.
    return ".".join(parts[:2]) if parts[0] == "0" or (parts[0] == "3" and len(parts) == 3) else parts[0]
