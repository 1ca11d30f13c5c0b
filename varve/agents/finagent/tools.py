"""FinAgent's tools beside those of every agent: a signal per strategy, and a calculator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from varve import registry
from varve.agents.calculator import calculate
from varve.agents.prompting import percent
from varve.agents.tools import TOOL_SCHEMAS, Answer, BadArgumentsError, DayTools, NewsLine, RecallLines
from varve.errors import UsageError
from varve.finllm.replies.decide import function_schema
from varve.finllm.replies.untrusted import section
from varve.market.observation import Observation
from varve.market.view import MarketView
from varve.strategies.signals import Signal
from varve.types import Arguments, ToolSchema

YEAR_SESSIONS = 252

SignalOf = Callable[[MarketView, str], Signal]
"""A strategy's word for a view and a symbol."""

CALCULATE = function_schema(
    "calculate",
    "Arithmetic for returns and sizes, for example (110.5 / 98.2 - 1) * 100.",
    {
        "expression": {
            "type": "string",
            "description": "Numbers, + - * / // % ** ( ), and abs, min, max, round, floor, sqrt, log, exp.",
        }
    },
)


def signal_name(strategy: str) -> str:
    """The tool of a strategy."""
    return f"strategy_{strategy.replace('-', '_')}"


def signal_sources(names: Sequence[str]) -> dict[str, SignalOf]:
    """What tells each strategy's signal, with its default settings.

    Raises:
        UsageError: for a strategy that has no signal to tell.
    """
    found: dict[str, SignalOf] = {}
    for name in names:
        trader = registry.load("strategies", name)()
        if not hasattr(trader, "signal"):
            raise UsageError(
                f"strategy {name!r} tells no signal, so it is no tool",
                mend="leave it out of the setting strategies",
            )
        found[name] = trader.signal
    return found


def signal_schemas(names: Sequence[str]) -> list[ToolSchema]:
    """A tool without arguments per strategy, described by its own first line."""
    schemas = []
    for name in names:
        about = (registry.load("strategies", name).__doc__ or name).strip().splitlines()[0]
        words = f"Today's signal of the strategy {name}, why, and what its signals were worth. {about}"
        schemas.append(function_schema(signal_name(name), words, {}))
    return schemas


def signal_line(name: str, signal: Signal) -> str:
    """``name | action | why | record``."""
    record = signal.record
    if record.hit_rate is None or record.mean_return is None:
        worth = "no signal of its own has an outcome yet"
    else:
        worth = (
            f"{record.signals} signals so far, {100 * record.hit_rate:.0f} % of them right, "
            f"mean return {percent(record.mean_return)}"
        )
    return f"{name} | {signal.action.value} | {signal.explanation} | {worth}"


class FinAgentTools(DayTools):
    """The tools of one decision, signals and calculator among them."""

    def __init__(
        self,
        observation: Observation,
        recall: RecallLines,
        news_line: NewsLine,
        *,
        max_news: int,
        schemas: Sequence[ToolSchema],
        signals: Mapping[str, SignalOf],
    ) -> None:
        super().__init__(observation, recall, news_line, max_news=max_news)
        self.schemas, self._signals = schemas, signals

    def answers(self) -> dict[str, Answer]:
        """See :class:`~varve.agents.tools.DayTools`."""
        own = {signal_name(name): partial(self._signal, name) for name in self._signals}
        return {**super().answers(), **own, "calculate": self._calculate}

    def signal_lines(self) -> list[str]:
        """The signals of all strategies, as a prompt shows them that has them pasted."""
        return [self._line(name) for name in self._signals]

    def _signal(self, name: str, arguments: Arguments) -> str:
        return section("SIGNAL", [self._line(name)])

    def _line(self, name: str) -> str:
        view, symbol = self._observation.view, self._observation.instrument.symbol
        return signal_line(name, self._signals[name](view, symbol))

    def _calculate(self, arguments: Arguments) -> str:
        expression = arguments["expression"]
        if not isinstance(expression, str):
            raise BadArgumentsError("expression must be text, for example 110.5 / 98.2 - 1")
        return calculate(expression)


def tool_schemas(names: Sequence[str], *, called: bool) -> list[ToolSchema]:
    """All that can be asked, the same every day."""
    return [*TOOL_SCHEMAS, *(signal_schemas(names) if called else ()), CALCULATE]
