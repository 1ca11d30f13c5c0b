"""The one way to the terminal: rich without markup, and with every control character as a visible escape.

Texts are shown as they are. A style is given beside a text (:func:`styled`, ``style=``), never in it.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import Task, TextColumn
from rich.text import Text

from varve.cli.screen.plain import forget_impossible_sizes
from varve.harmless import line, visible


class Screen(Console):
    """A console that takes no text for markup, emoji or a command to the terminal.

    Args:
        stderr: write to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        forget_impossible_sizes()
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *parts: Any, **more: Any) -> None:
        """Print a line; rich's own things, such as tables, may be of several."""
        super().print(*(line(part) if isinstance(part, str) else part for part in parts), **more)

    def render_str(self, text: str, **more: Any) -> Text:
        """The text as it is shown; rich asks for that of every text that it prints, in a table too."""
        return super().render_str(visible(text), **more)


def styled(*parts: str | tuple[str, str]) -> Text:
    """One line of texts, each as it is or with its style beside it."""
    shown = [line(part) if isinstance(part, str) else (line(part[0]), part[1]) for part in parts]
    return Text.assemble(*shown)


class BarText(TextColumn):
    """A text beside a progress bar."""

    def render(self, task: Task) -> Text:
        """The text of a task."""
        return Text(line(self.text_format.format(task=task)))
