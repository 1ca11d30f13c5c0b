"""``backtest llm``: what is known of language models, how to try, measure, serve and train one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from varve.cli.screen import say

if TYPE_CHECKING:
    pass

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

llm_app = typer.Typer(
    help="Language models: what is known of them, and how to serve one.", no_args_is_help=True
)


@llm_app.command("models")
def llm_models(
    example: Annotated[
        bool, typer.Option("--example", help="Print an entry to put into models.toml.")
    ] = False,
) -> None:
    """List models with licence, size, tool-call form, knowledge cut-off and release."""
    if example:
        _print_example()
    else:
        _print_models()


@llm_app.command("doctor")
def llm_doctor(
    llm: Annotated[str | None, typer.Option(help="A model to try, as for: backtest run --llm")] = None,
) -> None:
    """Say what is installed, on what device, and whether a model answers, the same each time."""
    from varve.cli.llm_bench import doctor

    if not doctor(llm):
        raise typer.Exit(4)


@llm_app.command("bench")
def llm_bench(
    llm: Annotated[str | None, typer.Option(help="A model of this process: nano, or hf:FOLDER")] = None,
    shape: Annotated[str | None, typer.Option(help="3m, 0.6b or 8b, with --random.")] = None,
    random: Annotated[bool, typer.Option("--random", help="Random numbers in that shape.")] = False,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Requests together; repeat it.")] = None,
    context: Annotated[list[int] | None, typer.Option(min=16, help="Tokens of a prompt.")] = None,
) -> None:
    """Measure tokens and decisions per second beside what the device allows."""
    from varve.cli.llm_bench import bench

    batches, contexts = batch or [1, 8, 32], context or [512]
    bench(llm=llm, shape=shape, random=random, batches=batches, contexts=contexts)


@llm_app.command("serve-recipe")
def llm_serve_recipe(
    model: Annotated[str, typer.Argument(help="A model's name or folder, for example Qwen/Qwen3-8B.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the server.")] = 8000,
    context: Annotated[int, typer.Option(min=1024, help="Longest prompt and reply, tokens.")] = 8192,
) -> None:
    """Print how to serve a model with vLLM in an environment of its own, and the run that uses it."""
    _print_recipe(model, port=port, context=context)


@llm_app.command("train-nano")
def llm_train_nano(
    folder: Annotated[Path, typer.Argument(help="A new folder, or one with an interrupted training.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller one in about a minute; it decides poorly.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of weights and training rows.")] = 0,
) -> None:
    """Train the model that comes with the package from nothing: draw, tokenise, train, evaluate, card."""
    from varve.finllm.nano.training.pipeline import FULL, QUICK, build

    build(folder, QUICK if quick else FULL, seed=seed)
    say(f"use it: backtest run --agent finmem --ticker TSLA --llm nano:{folder}")


def _print_models() -> None:
    """The table of known models; on a narrow terminal without licence and size."""
    from rich.table import Table

    from varve.backtests.report.metric_rows import ABSENT
    from varve.cli.llm_bench import told_until
    from varve.cli.screen import Screen
    from varve.config import home
    from varve.finllm.chat.model_cards import USER_FILE, cards

    console = Screen()
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


def _print_example() -> None:
    """An entry of the user's own list."""
    from varve.config import home
    from varve.finllm.chat.model_cards import USER_FILE

    say(f"# in {home() / USER_FILE}")
    for line in _EXAMPLE.splitlines():
        say(line)


def _print_recipe(model: str, *, port: int, context: int) -> None:
    """Commands that serve ``model`` with vLLM, which needs an environment of its own, and a run on it."""
    from varve.finllm.chat.model_cards import card_of

    card = card_of(f"hf:{model}")
    parser = _PARSERS.get("" if card is None else card.template)
    serve = ["vllm", "serve", model, "--port", str(port), "--max-model-len", str(context)]
    serve += ["--enable-prefix-caching", "--generation-config", "vllm"]
    if parser is not None:
        serve += ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    say("# vLLM pins its own torch: give it an environment of its own")
    say("python3 -m venv vllm-env && vllm-env/bin/pip install vllm")
    say(f"vllm-env/bin/{shlex.join(serve)}")
    if parser is None:
        known = ", ".join(sorted(_PARSERS))
        say(f"# its form of tool calls is not known here ({known} are): add vLLM's")
        say("# --enable-auto-tool-choice --tool-call-parser NAME, or it answers without tools")
    say("# then, where Varve is installed with its extra http:")
    say(f"backtest run --agent finmem --ticker TSLA --llm openai:{model}@http://localhost:{port}/v1")
