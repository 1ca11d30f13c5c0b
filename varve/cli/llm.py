"""What ``backtest llm models`` and ``backtest llm serve-recipe`` print."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.table import Table

from varve.backtests.report.metric_rows import ABSENT
from varve.config import home
from varve.finllm.chat.model_cards import USER_FILE, ModelCard, card_of, cards

_WIDE = 76
_PARSERS = {"hermes": "hermes", "llama3": "llama3_json", "mistral": "mistral", "harmony": "openai"}
"""vLLM's tool-call parser of each form of tool calls."""

_EXAMPLE = """\
["my-org/my-model"]
licence = "Apache-2.0"
parameters_b = 7.0
template = "hermes"
knowledge_cutoff = 2024-06-30
release_date = 2024-10-01
"""


def print_models() -> None:
    """The table of known models; on a narrow terminal without licence and size."""
    console = Console(highlight=False)
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    wide = console.width >= _WIDE
    for name in ("model", *(("licence", "size") if wide else ()), "tools", "knows until", "released"):
        table.add_column(name, overflow="fold")
    for name, card in cards().items():
        size = ABSENT if card.parameters_b is None else f"{card.parameters_b:g} B"
        middle = (card.licence, size) if wide else ()
        released = ABSENT if card.release_date is None else f"{card.release_date}"
        table.add_row(name, *middle, card.template, told_until(card), released)
    console.print(table)
    console.print(f"your own: {home() / USER_FILE} (backtest llm models --example)", soft_wrap=True)


def told_until(card: ModelCard) -> str:
    """Until when a model knows the world, in words."""
    if not card.knows_the_world:
        return "no world"
    if card.knowledge_cutoff is not None:
        return f"{card.knowledge_cutoff}"
    return ABSENT if card.release_date is None else "unsaid; its release"


def print_example() -> None:
    """An entry of the user's own list."""
    print(f"# in {home() / USER_FILE}")
    print(_EXAMPLE, end="")


def print_recipe(model: str, *, port: int, context: int) -> None:
    """Commands that serve ``model`` with vLLM, which needs an environment of its own, and a run on it."""
    card = card_of(f"hf:{model}")
    parser = _PARSERS.get("" if card is None else card.template)
    serve = ["vllm", "serve", model, "--port", str(port), "--max-model-len", str(context)]
    serve += ["--enable-prefix-caching", "--generation-config", "vllm"]
    if parser is not None:
        serve += ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    print("# vLLM pins its own torch: give it an environment of its own")
    print("python3 -m venv vllm-env && vllm-env/bin/pip install vllm")
    print(f"vllm-env/bin/{shlex.join(serve)}")
    if parser is None:
        known = ", ".join(sorted(_PARSERS))
        print(f"# its form of tool calls is not known here ({known} are): add vLLM's")
        print("# --enable-auto-tool-choice --tool-call-parser NAME, or it answers without tools")
    print("# then, where Varve is installed with its extra http:")
    print(f"backtest run --agent finmem --ticker TSLA --llm openai:{model}@http://localhost:{port}/v1")
