"""Traders that read one kind of fact of the future behind their view; the audit has to catch each."""

import json
import sys
from datetime import timedelta

from tests.support.cheats import behind
from varve.market.store import Store
from varve.strategies.base import Trader
from varve.types import Action, Decision


class FactPeek(Trader):
    """Buys where :meth:`sees` says so and is flat otherwise."""

    def decide(self, observation):
        return self._single(Action.BUY if self.sees(observation) else Action.FLAT)


def later_bars(observation):
    data = behind(observation)
    return data.bars.slice(observation.view.bar_count(data.instrument.symbol), len(data.bars))


def next_document(observation):
    later = [d for d in behind(observation).documents if d.available_at > observation.decision_at]
    return later[0] if later else None


def last_frame_with(name):
    """The value of a local variable of the nearest caller that has it."""
    frame = sys._getframe(1)
    while frame is not None and name not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals[name]


class SplitAhead(FactPeek):
    name = "split-ahead"

    def sees(self, observation):
        ahead = (
            e for e in behind(observation).events if e.kind == "split" and e.session > observation.session
        )
        return any((e.session - observation.session).days < 10 for e in ahead)


class DividendAhead(FactPeek):
    name = "dividend-ahead"

    def sees(self, observation):
        return any(
            e.kind == "dividend" and 0 < (e.session - observation.session).days < 10
            for e in behind(observation).events
        )


class SumOfEvents(FactPeek):
    name = "number-of-events"

    def sees(self, observation):
        return len(behind(observation).events) % 2 == 1


class CountAhead(FactPeek):
    name = "count-ahead"

    def sees(self, observation):
        now = observation.decision_at
        ahead = [d for d in behind(observation).documents if now < d.available_at < now + timedelta(days=1)]
        return len(ahead) >= 2


class KindAhead(FactPeek):
    name = "kind-ahead"

    def sees(self, observation):
        document = next_document(observation)
        return document is not None and document.kind == "news"


class FilingAhead(FactPeek):
    name = "filing-ahead"

    def sees(self, observation):
        later = (d for d in behind(observation).documents if d.available_at > observation.decision_at)
        return any(d.kind in ("10-Q", "10-K") for d in later)


class InstantAhead(FactPeek):
    name = "instant-ahead"

    def sees(self, observation):
        document = next_document(observation)
        return document is not None and document.available_at < observation.decision_at + timedelta(hours=12)


class TextAhead(FactPeek):
    name = "text-ahead"

    def sees(self, observation):
        document = next_document(observation)
        return document is not None and len(document.text) % 2 == 0


class LastDocument(FactPeek):
    name = "last-document"

    def sees(self, observation):
        documents = behind(observation).documents
        return documents[-1].available_at - observation.decision_at > timedelta(days=20)


class BarsLeft(FactPeek):
    name = "bars-left"

    def sees(self, observation):
        return len(later_bars(observation)) > 5


class LastBarComes(FactPeek):
    name = "last-bar-comes"

    def sees(self, observation):
        return len(later_bars(observation)) > 1


class LastDate(FactPeek):
    name = "last-date"

    def sees(self, observation):
        bars = behind(observation).bars
        return (bars.session(len(bars) - 1) - observation.session).days > 20


class GapAhead(FactPeek):
    name = "gap-ahead"

    def sees(self, observation):
        return (later_bars(observation).session(0) - observation.session).days <= 1


class VolumeAhead(FactPeek):
    name = "volume-ahead"

    def sees(self, observation):
        symbol = observation.instrument.symbol
        return later_bars(observation).volume[0] > observation.view.last_bar(symbol).volume


class OpenAhead(FactPeek):
    name = "open-ahead"

    def sees(self, observation):
        return later_bars(observation).open[0] > observation.view.last_close(observation.instrument.symbol)


class HighAhead(FactPeek):
    name = "high-ahead"

    def sees(self, observation):
        return later_bars(observation).high[:5].max() > 1.03 * observation.view.last_close(
            observation.instrument.symbol
        )


class CloseFarAhead(FactPeek):
    """Copes with an end of the data; a bar that is not there is flat."""

    name = "close-far-ahead"

    def sees(self, observation):
        close = later_bars(observation).close
        return len(close) > 4 and close[4] > observation.view.last_close(observation.instrument.symbol)


class HashOfAll(FactPeek):
    name = "hash-of-all"

    def sees(self, observation):
        return int(behind(observation).content_hash, 16) % 2 == 0


class EndInTheRunFolder(FactPeek):
    """Reads the last session of the run beside the folder that its memories are kept in."""

    name = "end-in-the-run-folder"

    def sees(self, observation):
        record = json.loads((self.context.memory_folder.parent / "run.json").read_text())
        return (record["window"]["end"] > "2023-04-20") and observation.step < 30


class EndInTheFrames(FactPeek):
    """Looks through the frames of its callers for the window's last bar."""

    name = "end-in-the-frames"

    def sees(self, observation):
        return last_frame_with("window").last - observation.view.bar_count("TSLA") > 3


class EndInTheSettings(FactPeek):
    name = "end-in-the-settings"

    def sees(self, observation):
        return (last_frame_with("prepared").config.end - observation.session).days > 9


class EndInTheExchange(FactPeek):
    name = "end-in-the-exchange"

    def sees(self, observation):
        return last_frame_with("self").name == self.name and len(_exchange().sessions) % 2 == 0


def _exchange():
    frame = sys._getframe(1)
    while not hasattr(frame.f_locals.get("self"), "exchange"):
        frame = frame.f_back
    return frame.f_locals["self"].exchange


class LearnsAhead(FactPeek):
    """Looks ahead in its lessons alone, three sessions, and decides by what it saw in the last of them."""

    name = "learns-ahead"
    allows_warm_up = True

    def warm_up(self, lesson):
        close = later_bars(lesson.present).close[:3]
        self.risen = bool(close[-1] > lesson.present.view.last_close("TSLA"))
        return Decision(rationale=f"it will {'rise' if self.risen else 'fall'}")

    def sees(self, observation):
        return self.risen


class RangeAhead(FactPeek):
    name = "range-ahead"

    def sees(self, observation):
        bar = later_bars(observation).bar(0)
        return bar.high / bar.low > 1.05


class AnnualReportNext(FactPeek):
    name = "annual-report-next"

    def sees(self, observation):
        document = next_document(observation)
        return document is not None and document.kind == "10-K"


class EvenBars(FactPeek):
    name = "even-bars"

    def sees(self, observation):
        return len(behind(observation).bars) % 2 == 0


class StoresList(FactPeek):
    """Reads how many bars are stored; prices it does not read."""

    name = "stores-list"

    def sees(self, observation):
        return Store().entry("TSLA").bars - observation.view.bar_count("TSLA") > 30


class WhenPulled(FactPeek):
    name = "when-pulled"

    def sees(self, observation):
        return bool(behind(observation).provenance.pulled_at)


FACTS = [
    SplitAhead, DividendAhead, SumOfEvents, CountAhead, KindAhead, FilingAhead, InstantAhead, TextAhead,
    LastDocument, BarsLeft, LastBarComes, LastDate, GapAhead, VolumeAhead, OpenAhead, HighAhead,
    CloseFarAhead, HashOfAll, RangeAhead, AnnualReportNext, EvenBars, LearnsAhead,
    EndInTheRunFolder, EndInTheFrames, EndInTheSettings, EndInTheExchange,
]  # fmt: skip
