"""FinAgent with a model that sees, from the wire to the page; its images know no future."""

import base64
import json
from dataclasses import replace
from datetime import date

from tests.support.finagent_day import StagedModel
from tests.support.helpers import prepared
from varve.agents.finagent.charts import kline_chart
from varve.backtests.config import RunConfig
from varve.backtests.record.journal import Journal
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.steps import simulate
from varve.finllm.chat.reply_source import image_name
from varve.market.calendars import get_calendar
from varve.market.market_data import MarketData
from varve.market.perturb import scramble_after
from varve.market.worlds import sample_world
from varve.testing import model_server as fake

SHORT = {
    "agent": "finagent", "ticker": "TSLA", "data": "sample", "warmup_start": date(2023, 2, 27),
    "start": date(2023, 3, 1), "end": date(2023, 3, 3),
}  # fmt: skip


def filled(schema):
    """The least that fits a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "object":
        return {name: filled(part) for name, part in schema["properties"].items()}
    return {"array": [], "integer": 50, "number": 50.0, "string": "Nothing of note.", "boolean": False}[kind]


def pictured(request):
    return "image_url" in json.dumps(request["messages"])


def answer(request):
    """Fills in whatever form is asked for, which is the last tool."""
    form = request["tools"][-1]["function"]
    return fake.calls((form["name"], filled(form["parameters"])))


def sees_nothing(request):
    """As a server whose model takes no images."""
    return fake.status(400, "this model takes no image_url") if pictured(request) else answer(request)


def run_on(server, monkeypatch, **settings):
    monkeypatch.setenv("VARVE_MODEL_VISION", "true")
    return run_backtest(RunConfig.build(**SHORT, llm=f"openai:fake@{server.base_url}", settings=settings))


def notes_of(folder):
    journal = Journal(folder.journal, run_id=folder.run_id, read_only=True)
    steps = list(journal.rows("steps", "trade"))
    kept = journal.image(image_name(chart_of(steps[-1].session)))
    journal.close()
    return [note for row in steps for note in row.decision.stages], kept


def chart_of(session):
    data = sample_world("TSLA")
    at = get_calendar("XNYS").decision_at(date.fromisoformat(session))
    return kline_chart(MarketData({"TSLA": data}).as_of(at), "TSLA")


def test_charts_go_over_the_wire_into_the_journal_and_onto_the_page(varve_home, monkeypatch):
    with fake.FakeModelServer([answer]) as server:
        folder = run_on(server, monkeypatch)
        asked = [request.body for request in server.requests]
    notes, kept = notes_of(folder)
    assert {note.shown for note in notes if note.stage == "low_reflection"} == {"image"}
    # What the server got is what the day's view gives, and what was kept.
    urls = [
        block["image_url"]["url"]
        for body in asked
        for message in body["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "image_url"
    ]
    assert kept is not None
    assert kept in [base64.b64decode(url.partition(",")[2]) for url in urls]
    page = folder.report.read_text(encoding="utf-8")
    assert base64.b64encode(kept).decode() in page
    assert "chart as image" in page
    assert folder.read().model.settings["vision"] is True


def test_a_model_that_takes_no_image_gets_tables_and_the_page_says_so(varve_home, monkeypatch):
    with fake.FakeModelServer([sees_nothing]) as server:
        folder = run_on(server, monkeypatch)
    notes, _ = notes_of(folder)
    assert {note.state for note in notes} <= {"done", "skipped"}
    shown = [note for note in notes if note.stage == "low_reflection"]
    assert {note.shown for note in shown} == {"table"}
    assert "takes no image_url" in shown[-1].detail
    assert "takes no image_url" in folder.report.read_text(encoding="utf-8")


def test_what_it_is_shown_knows_no_future():
    run = prepared("finagent", start=date(2023, 3, 1), end=date(2023, 3, 9), warmup_start=date(2023, 2, 27))
    run = replace(run, model=StagedModel(replies={}, vision=True))
    cut = run.window.first + 2
    instant = get_calendar(run.data.instrument.calendar).decision_at(run.data.bars.session(cut))
    one = simulate(run)
    two = simulate(
        replace(
            run, data=scramble_after(run.data, instant, seed=2), model=StagedModel(replies={}, vision=True)
        )
    )

    def images(steps):
        return [[call.images for call in step.model_calls] for step in steps]

    known = sum(step.decision_at <= instant for step in one)
    seen = images(one)[:known]
    assert sum(bool(found) for step in seen for found in step) >= 4
    assert seen == images(two)[:known]
    assert images(one) != images(two)
