"""The chart of a rescored run: curves, positions under each rule, and the way from one score to the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from varve.backtests.studies.rescore.rescore import IN_WORDS, REALISTIC, Rescored
from varve.backtests.studies.rescore.sentences import percent, points, signed
from varve.drawing import draw_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from varve.backtests.report.equity_charts import Axes

RULE_COLOURS = {"finmem-paper": "#d97706", "finagent-paper": "#8b5cf6", REALISTIC: "#0b5fa5"}
_INK, _SOFT, _GRID = "#111827", "#6b7280", "#eef0f3"
_UP, _DOWN = "#15803d", "#b91c1c"
_SIDES = {1: "#86c79c", 0: "#eceff3", -1: "#e59a94"}
WIDTH, LEFT, RIGHT = 10.8, 2.35, 1.4
"""Of the figure and of its margins, inches."""

CURVES, RIBBON, STAGE, GAP = 3.7, 0.32, 0.3, 0.78

_STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "text.color": _INK,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "axes.labelcolor": _SOFT,
}


def draw_rescored(rescored: Rescored) -> bytes:
    """The chart as PNG."""
    ribbons = RIBBON * len(rescored.columns)
    stages = STAGE * (len(rescored.stages) + 1) if rescored.stages else 0.0
    parts: list[tuple[Callable[[Axes, Rescored], None], float]] = [(_curves, CURVES), (_ribbons, ribbons)]
    if stages:
        parts.append((_stages, stages))
    whole = sum(height + GAP for _, height in parts) + 0.1

    def paint(figure: Figure) -> None:
        top = whole
        for part, height in parts:
            top -= height + GAP
            place = (LEFT / WIDTH, (top + 0.4) / whole, 1 - (LEFT + RIGHT) / WIDTH, height / whole)
            part(figure.add_axes(place), rescored)
        if rescored.synthetic:
            figure.text(
                0.5, 0.5, "SYNTHETIC DATA", fontsize=46, color="#b45309", alpha=0.1, ha="center",
                va="center", weight="bold", rotation=20,
            )  # fmt: skip

    return draw_png(paint, (WIDTH, whole), dpi=150, style=_STYLE)


def _curves(axes: Axes, rescored: Rescored) -> None:
    from varve.backtests.report.equity_charts import set_dates

    axes.set_title(f"{rescored.agent} on {rescored.ticker}: one set of decisions, by each rule (%)", pad=10)
    ends = []
    for column in rescored.columns:
        colour, curve = RULE_COLOURS[column.rule], 100 * (np.asarray(column.agent.wealth) - 1)
        axes.plot(rescored.sessions[: len(curve)], curve, color=colour, linewidth=2.0, zorder=4)
        ends.append((float(curve[-1]), column.rule, colour, "bold"))
    held = 100 * (np.asarray(rescored.columns[-1].buy_and_hold.wealth) - 1)
    axes.plot(rescored.sessions[: len(held)], held, color="#9ca3af", linewidth=1.2, linestyle=(0, (4, 2)))
    ends.append((float(held[-1]), "buy-and-hold", _SOFT, "normal"))
    axes.axhline(0, color="#9ca3af", linewidth=0.8)
    axes.grid(True, axis="y", color=_GRID)
    axes.set_axisbelow(True)
    axes.margins(x=0)
    axes.yaxis.set_major_formatter(_tick)
    _label_ends(axes, ends)
    set_dates(axes)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str, str]]) -> None:
    """Names at the right end of their curves, moved apart where they would lie on each other."""
    low, high = axes.get_ylim()
    apart, at = (high - low) * 0.085, -np.inf
    placed = []
    for value, name, colour, weight in sorted(ends):
        at = max(value, at + apart)
        placed.append((at, value, name, colour, weight))
    over = max(0.0, placed[-1][0] - high)
    for y, value, name, colour, weight in placed:
        axes.annotate(
            f"{name}\n{percent(value / 100)}", (1.012, y - over), xycoords=("axes fraction", "data"),
            color=colour, fontsize=8.5, weight=weight, va="center", linespacing=1.05, annotation_clip=False,
        )  # fmt: skip


def _ribbons(axes: Axes, rescored: Rescored) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    axes.set_title("Position after each decision", pad=6)
    columns = rescored.columns
    longest = max(len(column.agent.position) for column in columns)
    rows = np.full((len(columns), longest), np.nan)
    for i, column in enumerate(columns):
        rows[i, : len(column.agent.position)] = column.agent.position
    colours = ListedColormap([_SIDES[-1], _SIDES[0], _SIDES[1]])
    axes.imshow(rows, aspect="auto", cmap=colours, vmin=-1.5, vmax=1.5, interpolation="nearest")
    axes.set_yticks(range(len(columns)), [column.rule for column in columns])
    for label, column in zip(axes.get_yticklabels(), columns, strict=True):
        label.set_color(RULE_COLOURS[column.rule])
        label.set_weight("bold")
    axes.set_xticks([])
    axes.tick_params(length=0)
    for i in range(1, len(columns)):
        axes.axhline(i - 0.5, color="white", linewidth=3)
    for spine in axes.spines.values():
        spine.set_visible(False)
    names = {1: "long", 0: "flat", -1: "short"}
    shown = [side for side in names if (rows == side).any()]
    handles = [Patch(color=_SIDES[side], label=names[side]) for side in shown]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8.5, handlelength=1)


def _stages(axes: Axes, rescored: Rescored) -> None:
    stages = rescored.stages
    totals = [100 * stage.total_return for stage in stages]
    last = IN_WORDS[REALISTIC]
    axes.set_title(f"Total return (%), from {stages[0].change} to {last}, one change at a time", pad=8)
    labels = [*(stage.change for stage in stages), last]
    rule = next(column.rule for column in rescored.columns)
    axes.barh(0, totals[0], color=RULE_COLOURS[rule], height=0.62)
    axes.barh(len(stages), totals[-1], color=RULE_COLOURS[REALISTIC], height=0.62)
    for i in range(1, len(stages)):
        change = totals[i] - totals[i - 1]
        axes.barh(i, change, left=totals[i - 1], color=_UP if change >= 0 else _DOWN, height=0.62, alpha=0.8)
        axes.plot([totals[i - 1]] * 2, [i - 1, i], color="#9ca3af", linewidth=0.8, zorder=0)
    axes.plot([totals[-1]] * 2, [len(stages) - 1, len(stages)], color="#9ca3af", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#9ca3af", linewidth=0.8)
    texts = [percent(stages[0].total_return)]
    texts += [points((b - a) / 100) for a, b in pairwise(totals)]
    texts.append(percent(stages[-1].total_return))
    for i, text in enumerate(texts):
        ends = (0.0, totals[min(i, len(totals) - 1)]) if i in (0, len(stages)) else (totals[i - 1], totals[i])
        weight = "bold" if i in (0, len(stages)) else "normal"
        axes.annotate(
            f"  {text}", (max(ends), i), va="center", fontsize=9, weight=weight, annotation_clip=False
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    low, high = min(0.0, *totals), max(0.0, *totals)
    axes.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    axes.grid(True, axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(_tick)


def _tick(value: float, _: int) -> str:
    return signed(value, "g") if value else "0"
