"""The report's days: charts that end with the day, stages with what they said and cost, images once."""

import re
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from tests.support.helpers import prepared
from varve.backtests.config import RunConfig
from varve.backtests.derive import derive
from varve.backtests.record.journal import Journal
from varve.backtests.record.rows import CallRow, StepRow
from varve.backtests.report.day_charts import SESSIONS, DayCharts
from varve.backtests.report.day_stages import MAX_PICTURED_DAYS, pictures, stage_table, stages_of_day
from varve.backtests.results.track import track_of_records
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.steps import simulate
from varve.finllm.chat.reply_source import image_name
from varve.market.calendars import get_calendar
from varve.market.perturb import scramble_after

START, END = date(2022, 8, 1), date(2022, 9, 16)
"""Over Tesla's split of 25 August 2022."""


@pytest.fixture(scope="module")
def bought():
    run = prepared("sma-cross", start=START, end=END, settings={"fast": 2, "slow": 5})
    return run, track_of_records("sma-cross", simulate(run), run)


def numbers(box):
    return [float(part) for part in box.split()]


def test_a_day_sees_the_sessions_up_to_it_and_none_after(bought):
    run, track = bought
    charts = DayCharts(run.data, track)
    last = len(track.sessions) - 1
    for i in (0, 7, last):
        day = charts.of(track.sessions[i])
        for window in (*day.kline, *day.trading):
            x, _, width, _ = numbers(window.box)
            # Bar k lies around x = k; those drawn begin 59 sessions before the first of the test.
            assert x + width == pytest.approx(SESSIONS - 1 + i + 0.5)
            assert width == SESSIONS
        assert day.span[1] == f"{track.sessions[i]} (today)"
    assert charts.of(date(2019, 1, 2)) is None


def test_what_a_day_shows_hangs_on_nothing_after_it(bought):
    run, track = bought
    cut = 20
    instant = get_calendar(run.data.instrument.calendar).decision_at(track.sessions[cut])
    other = scramble_after(run.data, instant, seed=2)
    # The run that saw the other future did the same until then.
    changed = replace(
        track,
        equity=track.equity[: cut + 1] + [v * 2 for v in track.equity[cut + 1 :]],
        fills=[fill for fill in track.fills if fill.session <= track.sessions[cut]],
    )
    one, two = DayCharts(run.data, track), DayCharts(other, changed)
    for session in track.sessions[: cut + 1]:
        first, second = one.of(session), two.of(session)
        assert first.kline_note == second.kline_note
        assert first.trading_note == second.trading_note
        assert [w.top for w in first.kline] == [w.top for w in second.kline]
    later = track.sessions[cut + 2]
    assert one.of(later).kline_note != two.of(later).kline_note


def test_prices_are_told_on_the_basis_of_the_day(bought):
    run, track = bought
    charts = DayCharts(run.data, track)
    for session, close in zip(track.sessions, track.close, strict=True):
        assert charts.of(session).kline_note.startswith(f"close {close:,.2f}")
    assert max(track.close) > 2 * min(track.close)  # the split is in the window


def test_each_bar_is_drawn_once_and_fills_are_dots(bought):
    run, track = bought
    drawn = dict(DayCharts(run.data, track).drawings())
    assert list(drawn) == ["kline", "volume", "trades", "returns"]
    bars = SESSIONS - 1 + len(track.sessions)
    assert drawn["kline"].count("h.7") == bars
    assert len(track.fills) > 2
    assert drawn["trades"].count("h0") == len(track.fills)


def test_closes_alone_make_a_line(bought):
    run, track = bought
    unknown = np.full(len(run.data.bars), np.nan)
    bare = replace(run.data.bars, open=unknown, high=unknown, low=unknown, volume=unknown)
    charts = DayCharts(replace(run.data, bars=bare), track)
    drawn = dict(charts.drawings())
    assert "volume" not in drawn
    assert "h.7" not in drawn["kline"]
    assert len(charts.of(track.sessions[3]).kline) == 1


def call(
    step, stage, *, said=None, tools=(), attempt=0, cached=0, images=(), finish="tool_calls", phase="trade"
):
    """A row of model calls as the journal gives it; ``said`` is a list of (tool, arguments)."""
    content = [{"type": "text", "text": "x"}]
    content += [{"type": "image", "mime_type": "image/png", "sha256": image_name(i)} for i in images]
    return CallRow.model_validate({
        "run_id": "r", "phase": phase, "step": step, "decision_at": f"2023-01-{step + 1:02d}T00:00:00+00:00",
        "instrument": "A", "stage": stage, "ordinal": 0, "cut_items": 0, "seconds": 0.0,
        "messages": [{"role": "system", "content": "rules"}, {"role": "user", "content": content}],
        "tools": [{"function": {"name": name}} for name in tools], "attempt": attempt, "cached": cached,
        "reply": {"content": "", "finish_reason": finish,
                  "tool_calls": [{"name": name, "args": args} for name, args in said or []]},
        "usage": {"input_tokens": 100, "output_tokens": 10, "calls": 1},
    })  # fmt: skip


def step(number, stages=(), orders=(), phase="trade"):
    decision = {
        "orders": [], "confidence": None, "rationale": "", "cited_memories": [], "tool_calls": [],
        "usage": {"input_tokens": 0, "output_tokens": 0, "calls": 0}, "failure": None, "stages": list(stages),
    }  # fmt: skip
    return StepRow.model_validate({
        "run_id": "r", "phase": phase, "step": number,
        "decision_at": f"2023-01-{number + 1:02d}T00:00:00+00:00",
        "instrument": "A", "orders": list(orders), "decision": decision, "session": "2023-01-01",
        "fill_session": None, "observation_hash": "", "failure": None, "fills": [], "outcomes": [],
        "portfolio": {"currency": "USD", "cash": 1.0, "equity": 1.0, "positions": {}}, "seconds": 0.0,
    })  # fmt: skip


def note(stage, state="done", detail="", shown=""):
    return {"stage": stage, "state": state, "detail": detail, "shown": shown}


def test_a_stage_tells_what_it_said_asked_and_cost():
    row = step(
        0, [note("news", "skipped", "no news"), note("low", shown="image"), note("decide", "failed", "empty")]
    )
    tools = ["macd", "zscore", "decide"]
    calls = [
        call(0, "low", said=[("explain", {"summary": "It fell.", "points": ["a", "b"]})], images=[b"png"]),
        call(0, "decide", said=[("macd", {"days": 3})], tools=tools),
        call(0, "decide", said=[("decide", {"action": "BUY", "reasoning": "Up."})], tools=tools),
        call(0, "decide", said=[], tools=tools, attempt=1, finish="image_refused"),
    ]  # fmt: skip
    news, low, decide = stages_of_day(row, calls, {image_name(b"png"): b"png"})
    assert (news.state, news.detail, news.facts, news.reply) == ("skipped", "no news", "", [])
    assert low.facts == "chart as image · 1 call · 100 + 10 tokens"
    assert low.reply == [("summary", "It fell."), ("points", "a, b")]
    assert low.images == ["cG5n"]
    assert decide.state == "failed"
    assert decide.facts == "3 calls · 300 + 30 tokens · image refused 1×"
    assert decide.unused == ["zscore"]
    # The form of the reply is no tool, also where it was never filled in.
    assert stages_of_day(row, calls[:2], {})[2].unused == ["zscore"]
    decide = stages_of_day(row, calls[:3], {})[2]
    assert decide.reply == [("reasoning", "Up.")]


def test_tokens_of_the_run_by_stage_sum_up():
    steps = [step(0, phase="warmup")]
    steps += [
        step(i, [note("news", "skipped" if i else "done"), note("decide", shown="table")]) for i in range(4)
    ]
    calls = [call(0, "warm_up", phase="warmup"), call(0, "news")]
    calls += [call(i, "decide", attempt=int(i == 3), cached=int(i == 2)) for i in range(4)]
    header, rows = stage_table(steps, calls)
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(table) == {"warm_up", "news", "decide", "all"}
    assert table["news"]["skipped"] == "3"
    assert table["news"]["tokens a day"] == "28"
    assert table["decide"]["chart as"] == "table 4×"
    assert (table["decide"]["from cache"], table["decide"]["re-asks"]) == ("1", "1")
    assert (table["all"]["calls"], table["all"]["tokens in"]) == ("6", "600")
    assert stage_table(steps[:1], [])[1] == []


class Kept:
    """A journal of images alone, that counts what is read."""

    def __init__(self):
        self.read = []

    def image(self, name):
        self.read.append(name)
        return name.encode()


def test_only_some_days_show_the_very_images_and_those_with_orders_first():
    count = MAX_PICTURED_DAYS + 10
    steps = [step(i, orders=[["A", 1.0]] if i == 2 else []) for i in range(count)]
    calls = [call(i, "low", images=[f"day {i}".encode()]) for i in range(count)]
    kept = Kept()
    found = pictures(kept, steps, calls)
    assert len(found) == MAX_PICTURED_DAYS == len(kept.read)
    assert image_name(b"day 2") in found
    assert image_name(b"day 3") not in found
    assert image_name(f"day {count - 1}".encode()) in found


def test_the_page_of_a_run_has_every_day_with_charts_and_stages(varve_home):
    config = RunConfig.build(
        agent="finmem", ticker="TSLA", data="sample", start=START, end=START + timedelta(days=14),
        warmup_start=START - timedelta(days=20),
    )  # fmt: skip
    folder = run_backtest(config)
    page = folder.report.read_text(encoding="utf-8")
    journal = Journal(folder.journal, run_id=folder.run_id, read_only=True)
    days = [row.session for row in journal.rows("steps", "trade")]
    journal.close()
    assert page.count('<use href="#kline"/>') == len(days)
    assert page.count('<symbol id="kline"') == 1
    assert [d for d in days if f">{d} (today)<" not in page] == []
    assert page.count("<strong>decide</strong>") == len(days)
    assert "offered and not called: " in page
    assert re.search(r"<td>decide</td>.*?<td>[\d,]+</td>", page, re.S)
    # Nothing to run and nothing to fetch.
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    before = page
    derive(folder)
    assert folder.report.read_text(encoding="utf-8") == before
