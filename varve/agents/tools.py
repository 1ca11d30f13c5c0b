"""Read-only tools that a language model may call before it decides, each bound to the day's view.

Whatever is asked, the answer was readable at the decision instant: the tools hold nothing but the
:class:`~varve.market.observation.Observation` and the agent's own recall as of that instant. Bad
arguments are told to the model as text, never raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from varve.clock import iso
from varve.errors import VarveError
from varve.finllm.replies.decide import function_schema
from varve.finllm.replies.untrusted import clean, section
from varve.market.observation import Observation
from varve.memory.state.config import TIERS
from varve.strategies.indicators import INDICATORS, indicator
from varve.types import Arguments, Document, JsonObject, ToolCall, ToolSchema

RecallLines = Callable[[str, str], Sequence[str]]
"""``(query, tier)`` to one prompt line per memory, as of the decision instant."""

NewsLine = Callable[[Document], str]
"""A document as one prompt line."""

Answer = Callable[[Arguments], str]
"""Arguments to what the model is told; :class:`BadArgumentsError` where they do not fit."""

MAX_PRICE_DAYS, MAX_NEWS_DAYS, MAX_WINDOW = 120, 60, 250
MAX_QUERY_TOKENS = 60
MAX_SHOWN_TOKENS = 60
MAX_ERROR_TOKENS = 60


class BadArgumentsError(Exception):
    """What a model gave a tool does not fit; its text goes back to the model and no further."""


def _whole_number(description: str, most: int) -> JsonObject:
    return {"type": "integer", "minimum": 1, "maximum": most, "description": description}


TOOL_SCHEMAS: tuple[ToolSchema, ...] = (
    function_schema(
        "recall_memory",
        "Look up your own memories by what they are about.",
        {
            "query": {"type": "string", "description": "What to look for, in a few words."},
            "tier": {"type": "string", "enum": list(TIERS), "description": "Which layer of memory."},
        },
    ),
    function_schema(
        "price_history",
        "Open, high, low, close and volume of the last sessions.",
        {"days": _whole_number("How many sessions back.", MAX_PRICE_DAYS)},
    ),
    function_schema(
        "news",
        "News and filings of the last calendar days.",
        {"days": _whole_number("How many calendar days back.", MAX_NEWS_DAYS)},
    ),
    function_schema(
        "indicator",
        "A technical indicator of the closes. volatility is per session, rsi 0 to 100, momentum and "
        "drawdown are fractions.",
        {
            "name": {"type": "string", "enum": sorted(INDICATORS), "description": "Which indicator."},
            "window": _whole_number("Sessions it looks back.", MAX_WINDOW),
        },
    ),
)
"""OpenAI-format schemas, the same every day."""

TOOL_NAMES = tuple(schema["function"]["name"] for schema in TOOL_SCHEMAS)


def tool_name(schema: ToolSchema) -> str:
    """The name in a schema of OpenAI's format."""
    return str(schema["function"]["name"])


class DayTools:
    """The tools of one decision; ``schemas`` are those of the tools that can be asked.

    Args:
        observation: what may be known; nothing else is.
        recall: the agent's memory as of the same instant.
        news_line: how a document is shown, cut and cleaned.
        max_news: most documents that one ``news`` call shows, the newest.
    """

    schemas: Sequence[ToolSchema] = TOOL_SCHEMAS

    def __init__(
        self, observation: Observation, recall: RecallLines, news_line: NewsLine, *, max_news: int
    ) -> None:
        self._observation, self._recall = observation, recall
        self._news_line, self._max_news = news_line, max_news
        self._broken: set[str] = set()

    def answers(self) -> dict[str, Answer]:
        """What answers each tool, by its name; a subclass adds its own."""
        return {
            "recall_memory": self._recall_memory,
            "price_history": self._price_history,
            "news": self._news,
            "indicator": self._indicator,
        }

    def call(self, name: str, arguments: Arguments) -> ToolCall:
        """Answer one call; what does not fit becomes :attr:`ToolCall.error`.

        A tool that raises something unforeseen is told as an error once, and not asked again today.
        """
        # What comes from the model goes into the journal: plain text of bounded length.
        plain = {clean(str(key), 20)[0]: _plain(value) for key, value in list(arguments.items())[:8]}
        try:
            handler = self.answers().get(name)
            if handler is None:
                known = ", ".join(tool_name(schema) for schema in self.schemas)
                raise BadArgumentsError(f"there is no tool {shown(name)}; tools: {known}")
            if name in self._broken:
                raise BadArgumentsError(f"{name} has failed today and is not asked again")
            self._check_names(name, arguments)
            return ToolCall(name, plain, handler(arguments))
        except (BadArgumentsError, VarveError) as error:
            return ToolCall(name, plain, "", error=str(error))
        except Exception as error:  # noqa: BLE001 (whatever a tool does wrong, the day goes on and says so)
            self._broken.add(name)
            words = clean(f"{name} failed: {type(error).__name__}: {error}", MAX_ERROR_TOKENS)[0]
            return ToolCall(name, plain, "", error=words)

    def _check_names(self, tool: str, arguments: Arguments) -> None:
        schema = next(one for one in self.schemas if tool_name(one) == tool)
        wanted = schema["function"]["parameters"]["required"]
        missing = [name for name in wanted if name not in arguments]
        extra = sorted(name for name in arguments if name not in wanted)
        if missing or extra:
            parts = [f"{', '.join(missing)} missing"] if missing else []
            parts += [f"unknown {', '.join(shown(name) for name in extra[:3])}"] if extra else []
            takes = ", ".join(wanted) or "nothing"
            raise BadArgumentsError(f"{tool} takes {takes}: {'; '.join(parts)}")

    def _recall_memory(self, arguments: Arguments) -> str:
        tier = _choice("tier", arguments["tier"], TIERS)
        query = arguments["query"]
        words = clean(query, MAX_QUERY_TOKENS)[0] if isinstance(query, str) else ""
        if not words:
            raise BadArgumentsError(f"query must be a few words; given {shown(query)}")
        lines = self._recall(words, tier)
        return section(f"MEMORY_{tier.upper()}", lines or ["nothing"])

    def _price_history(self, arguments: Arguments) -> str:
        days = _integer("days", arguments["days"], MAX_PRICE_DAYS)
        bars = self._observation.view.bars(self._observation.instrument.symbol, days)
        columns = zip(bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
        rows = [
            f"{bars.session(i)} | " + " | ".join(_number(float(value)) for value in row)
            for i, row in enumerate(columns)
        ]
        return section("PRICES", ["session | open | high | low | close | volume", *rows])

    def _news(self, arguments: Arguments) -> str:
        days = _integer("days", arguments["days"], MAX_NEWS_DAYS)
        since = self._observation.decision_at - timedelta(days=days)
        found = self._observation.view.documents(self._observation.instrument.symbol, since=since)
        lines = [self._news_line(document) for document in found[-self._max_news :]]
        return section("NEWS", lines or ["none"])

    def _indicator(self, arguments: Arguments) -> str:
        name = _choice("name", arguments["name"], sorted(INDICATORS))
        window = _integer("window", arguments["window"], MAX_WINDOW)
        closes = self._observation.view.closes(self._observation.instrument.symbol)
        value = indicator(name, closes, window)
        if value is None:
            raise BadArgumentsError(f"{name} over {window} needs more than the {len(closes)} closes known")
        return f"{name}({window}) = {value:.6g} after {iso(self._observation.session)}"


def _integer(name: str, given: object, most: int) -> int:
    value = int(given) if isinstance(given, float) and given.is_integer() else given
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadArgumentsError(f"{name} must be a whole number from 1 to {most}; given {shown(given)}")
    return value


def _choice(name: str, given: object, known: Sequence[str]) -> str:
    if not isinstance(given, str) or given not in known:
        raise BadArgumentsError(f"{name} must be one of {', '.join(known)}; given {shown(given)}")
    return given


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.10g}"


def shown(value: object) -> str:
    """What a model gave, as a few harmless characters."""
    return clean(repr(value), MAX_SHOWN_TOKENS)[0] or "''"


def _plain(value: object) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return clean(value if isinstance(value, str) else repr(value), MAX_SHOWN_TOKENS)[0]
