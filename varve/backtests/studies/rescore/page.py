"""``rescore.html``: a run's decisions under other rules, one self-contained page with table and chart."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

from varve.backtests.record.cards import RESCORE_CHART, RESCORE_FILE
from varve.backtests.record.folder import RunFolder
from varve.backtests.studies.rescore.chart import RULE_COLOURS, draw_rescored
from varve.backtests.studies.rescore.rescore import IN_WORDS, Rescored
from varve.backtests.studies.rescore.sentences import (
    percent,
    ratio,
    rescore_card,
    rules_table,
    sentences,
    size,
    table,
)
from varve.files import replace_file

PAGE_FILE = "rescore.html"


def write_rescored(folder: RunFolder, rescored: Rescored) -> None:
    """Write figures, chart and page into the run's folder, in this order.

    Raises:
        StorageError: if the folder cannot be written.
    """
    chart = draw_rescored(rescored)
    text = json.dumps(rescore_card(rescored).as_json(), indent=1, allow_nan=False) + "\n"
    replace_file(folder.path / RESCORE_FILE, text)
    replace_file(folder.path / RESCORE_CHART, chart)
    replace_file(folder.path / PAGE_FILE, render_rescored(rescored, chart))


def render_rescored(rescored: Rescored, chart: bytes) -> str:
    """The page as HTML text; what came from data is escaped by the template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("varve.backtests", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    header, rows = table(rescored)
    return environment.get_template("rescore.html.j2").render(
        title=f"{rescored.agent} on {rescored.ticker}, by other rules · Varve",
        agent=rescored.agent,
        ticker=rescored.ticker,
        label=rescored.label,
        synthetic=rescored.synthetic,
        window=f"{rescored.sessions[0]} to {rescored.sessions[-1]}, {len(rescored.actions)} decisions",
        failures=rescored.failures,
        cards=[_card(rescored, column.rule) for column in rescored.columns],
        sentences=sentences(rescored),
        header=header,
        colours=RULE_COLOURS,
        rows=rows,
        rules=rules_table(rescored),
        chart=base64.b64encode(chart).decode(),
        run_id=rescored.run_id,
        run_digest=rescored.run_digest,
    )


class RuleShown(NamedTuple):
    """One rule's score as the page shows it."""

    rule: str
    name: str
    colour: str
    total: str
    sharpe: str
    drawdown: str
    held: str


def _card(rescored: Rescored, rule: str) -> RuleShown:
    column = next(column for column in rescored.columns if column.rule == rule)
    return RuleShown(
        rule=rule,
        name=IN_WORDS[rule],
        colour=RULE_COLOURS[rule],
        total=percent(column.agent.total_return),
        sharpe=ratio(column.agent.sharpe),
        drawdown=size(column.agent.max_drawdown),
        held=percent(column.buy_and_hold.total_return),
    )
