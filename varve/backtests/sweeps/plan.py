"""The file of a sweep: what all runs have in common, and lists of which every combination is run.

::

    [run]                                   # as for: backtest run --config
    llm = "scripted"
    start = 2023-01-03

    [vary]                                  # lists; the last varies fastest
    ticker = ["TSLA", "AMZN"]
    seed = [0, 1]

    [[group]]                               # optional; each with more of both
    run.agent = "finmem"
    vary.settings.profile = ["risk_seeking", "risk_averse"]

    [[group]]
    run.agent = "buy-and-hold"
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varve.backtests.config import RunConfig
from varve.config import canonical_json, joined, read_toml
from varve.errors import SettingError, UsageError, VarveError, near_names

MAX_RUNS = 1000


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep in their order, all different, and the file's name."""

    name: str
    runs: tuple[RunConfig, ...]

    @property
    def identity(self) -> str:
        """SHA-256 (hex) over what is run; the same in whatever order the file says it."""
        return hashlib.sha256(
            canonical_json(sorted(run.identity() for run in self.runs)).encode()
        ).hexdigest()


def read_sweep(path: Path, *, servers: Sequence[str] | None = None) -> Sweep:
    """The runs that a file asks for, every setting of each checked.

    Args:
        servers: base URLs that may get the user's key though only the file names them.

    Raises:
        BadFileError: if it is no TOML.
        SettingError: naming a key that is unknown or a value that cannot be used, and where it stands.
        UsageError: if it asks for no run, for the same one twice, for more than 1,000, or where a key would
            go to a server that the file alone names.
    """
    from varve.backtests.simulate.prepare import check_trading
    from varve.finllm.served import SEND_KEY_TO, check_key_may_go

    raw = read_toml(path)
    groups = raw.get("group", [{}])
    _known_keys(str(path), raw, ("run", "vary", "group"))
    if not isinstance(groups, list):
        raise SettingError(f"{path}: group must be tables", mend="write each as [[group]]")
    runs: list[RunConfig] = []
    for number, group in enumerate(groups, start=1):
        where = f"{path}, group {number}" if "group" in raw else str(path)
        _known_keys(where, group, ("run", "vary"))
        for values in _combinations(where, raw, group):
            try:
                run = RunConfig.build(**_with_snapshot(values))
                check_trading(run)
            except VarveError as error:
                raise SettingError(f"{where}: {error.message}", mend=error.mend) from error
            runs.append(run)
            if len(runs) > MAX_RUNS:
                raise UsageError(
                    f"{path} asks for more than {MAX_RUNS} runs", mend="make several sweeps of it"
                )
    _all_different(path, runs)
    again = f"backtest sweep {path} {SEND_KEY_TO} BASE_URL"
    for spec in sorted({run.llm for run in runs}):
        check_key_may_go(spec, named_by=str(path), given=servers or (), again=again)
    return Sweep(path.name, tuple(runs))


def _combinations(where: str, raw: Mapping[str, Any], group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings of each run of a group, in order; nothing that one table says twice is dropped unsaid."""
    base = _joined(where, _table(where, "run", raw), _table(where, "run", group), replace=True)
    lists = {**_vary(where, raw), **_vary(where, group)}
    for name, values in lists.items():
        if not isinstance(values, list) or not values:
            raise SettingError(
                f"{where}: vary.{'.'.join(name)} is {values!r}; a list of values expected",
                mend="one value for all belongs to run",
            )
    for chosen in itertools.product(*lists.values()):
        varied: dict[str, Any] = {}
        for name, value in zip(lists, chosen, strict=True):
            for part in reversed(name):
                value = {part: value}
            varied = _joined(where, varied, value, replace=False)
        yield _joined(where, base, varied, replace=True)


def _joined(where: str, base: Mapping[str, Any], over: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
    try:
        return joined(base, over, replace=replace)
    except SettingError as error:
        raise SettingError(f"{where}: {error.message}", mend=error.mend) from error


def _vary(where: str, table: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The lists of a table by their names; none has a value in the same table's ``run``."""
    fixed, lists = dict(_flat(_table(where, "run", table))), dict[tuple[str, ...], Any]()
    for place, value in _flat(_table(where, "vary", table)):
        name = ".".join(place)
        if place in fixed:
            raise SettingError(f"{where}: {name!r} stands in both run and vary", mend="leave one of them out")
        if place in lists:
            raise SettingError(f"{where}: vary.{name} is given twice", mend="give it once")
        lists[place] = value
    return lists


def _flat(table: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        place = (*before, *name.split("."))
        if isinstance(value, Mapping):
            yield from _flat(value, place)
        else:
            yield place, value


def _table(where: str, name: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, Mapping):
        raise SettingError(f"{where}: {name} must be a table", mend=f"write it as [{name}]")
    return table


def _known_keys(where: str, table: Any, known: tuple[str, ...]) -> None:
    if not isinstance(table, Mapping):
        raise SettingError(f"{where}: a table expected, given {table!r}", mend="write each as [[group]]")
    for key in table:
        if key not in known:
            close = near_names(key, known)
            raise SettingError(
                f"{where}: unknown key {key!r}; known: {', '.join(known)}",
                mend=f"did you mean {close[0]!r}?"
                if close
                else f"settings of the runs go under run: run.{key}",
            )


def _with_snapshot(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("memory"):
        from varve.backtests.simulate.starting_memory import snapshot_id

        return {**values, "memory": snapshot_id(str(values["memory"]))}
    return values


def _all_different(path: Path, runs: list[RunConfig]) -> None:
    first: dict[str, int] = {}
    for number, run in enumerate(runs, start=1):
        same = first.setdefault(run.identity(), number)
        if same != number:
            raise UsageError(
                f"{path}: runs {same} and {number} are the same: {run.agent} {run.ticker} seed {run.seed}",
                mend="leave one of them out",
            )
