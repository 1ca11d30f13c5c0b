"""The commands of ``backtest llm``; light on import, as the whole command line is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    from varve.cli.llm import print_example, print_models

    if example:
        print_example()
    else:
        print_models()


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
    from varve.cli.llm import print_recipe

    print_recipe(model, port=port, context=context)


@llm_app.command("train-nano")
def llm_train_nano(
    folder: Annotated[Path, typer.Argument(help="A new folder, or one with an interrupted training.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller one in about a minute; it decides poorly.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of weights and training rows.")] = 0,
) -> None:
    """Train the model that comes with the package from nothing: draw, tokenise, train, evaluate, card."""
    from varve.cli.llm_train import train_nano

    train_nano(folder, quick=quick, seed=seed)
