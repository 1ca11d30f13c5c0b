"""From nothing to a model's folder: draw, tokenise, train, evaluate, write the card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from varve.clock import stopwatch
from varve.errors import SettingError
from varve.finllm.nano.examples import draw_example
from varve.finllm.nano.tokenizer import VOCABULARY, prompt_of, save_tokenizer, train_tokenizer
from varve.finllm.nano.training import rows as shape
from varve.finllm.nano.training.card import Measured, write_card
from varve.finllm.nano.training.evaluate import bag_of_words, measure, plain_generate
from varve.finllm.nano.training.heldout import HeldOut, read_heldout
from varve.finllm.nano.training.trainer import Plan, Trainer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EVALUATION = "evaluation.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What a training is: shape, plan, and how much goes into tokenizer and evaluation.

    ``rows`` of each held-out split are evaluated, None for all.
    """

    shape: dict[str, int]
    plan: Plan
    vocabulary: int = VOCABULARY
    tokenizer_examples: int = 12_000
    bag_examples: int = 8000
    rows: int | None = None


FULL = Recipe(
    shape.FULL,
    Plan(steps=4800, batch_tokens=3072, workers=2, easing=0.06, cooling=0.4),
)
QUICK = Recipe(
    shape.QUICK,
    Plan(steps=260, batch_tokens=2048, easing=0.3, warming=20, widening=(1.0, 1.0)),
    vocabulary=1536,
    tokenizer_examples=1500,
    bag_examples=1500,
    rows=40,
)


def build(folder: Path, recipe: Recipe, *, seed: int = 0, say: Say = print) -> Measured:
    """Train nano from nothing into ``folder``; its evaluation.

    A training that was interrupted goes on where its last checkpoint stands.

    Raises:
        SettingError: if there is a model in the folder already.
    """
    from tokenizers import Tokenizer

    if (folder / "model.safetensors").exists():
        raise SettingError(f"there is a model in {folder} already", mend="give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    started = stopwatch()
    if not (folder / "tokenizer.json").exists():
        rng = Random(500 + seed)
        drawn = [draw_example(rng, "train") for _ in range(recipe.tokenizer_examples)]
        texts = (text for one in drawn for text in (prompt_of(one), one.target.text))
        save_tokenizer(train_tokenizer(texts, recipe.vocabulary), folder)
        say(f"tokenizer: learned from {len(drawn):,} examples")
    plan = replace(recipe.plan, seed=seed)
    if plan.workers == 1:
        train(folder, recipe.shape, plan, 0, say)
    else:
        from torch.multiprocessing.spawn import spawn

        (folder / "meeting").unlink(missing_ok=True)  # of an interrupted training, whose processes are gone
        spawn(_worker, (folder, recipe.shape, plan), nprocs=plan.workers)  # type: ignore[no-untyped-call]
    seconds = stopwatch() - started
    finish(folder, recipe.shape, plan)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = evaluate(folder, tokenizer, rows=recipe.rows, bag_examples=recipe.bag_examples)
    found["training"] = {**vars(plan), "seconds": round(seconds)}
    (folder / EVALUATION).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_card(folder, found)
    for split, shares in found["splits"].items():
        say(f"{split}: valid {shares['valid']:.3f}, action {shares['action_accuracy']:.3f}")
    say(f"written: {folder}")
    return found


def train(folder: Path, shape: dict[str, int], plan: Plan, rank: int, say: Say) -> None:
    """Train to the end of the plan; rank 0 keeps a checkpoint beside the tokenizer."""
    import torch
    from tokenizers import Tokenizer

    torch.set_num_threads(1)
    trainer = Trainer(shape, Tokenizer.from_file(str(folder / "tokenizer.json")), plan, rank=rank)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)

    def save() -> None:
        if rank == 0:
            trainer.save(checkpoint)

    def note(step: int, loss: float) -> None:
        if rank == 0:
            say(f"step {step:,} of {plan.steps:,}: loss {loss:.3f}")

    trainer.run(note, save, every=max(1, plan.steps // 40))


def _worker(rank: int, folder: Path, shape: dict[str, int], plan: Plan) -> None:
    import torch

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{(folder / 'meeting').resolve()}",
        rank=rank, world_size=plan.workers,
    )  # fmt: skip
    train(folder, shape, plan, rank, print)
    torch.distributed.destroy_process_group()


def finish(folder: Path, shape: dict[str, int], plan: Plan) -> None:
    """From the checkpoint to the weights as shipped, in half precision."""
    from tokenizers import Tokenizer

    trainer = Trainer(shape, Tokenizer.from_file(str(folder / "tokenizer.json")), plan)
    trainer.load(folder / "checkpoint.pt")
    trainer.model.half().save_pretrained(str(folder))
    (folder / "checkpoint.pt").unlink()
    (folder / "meeting").unlink(missing_ok=True)


def evaluate(
    folder: Path, tokenizer: Tokenizer, *, rows: int | None = None, bag_examples: int = 8000
) -> Measured:
    """Shares on the committed held-out rows, unconstrained and greedy, in single precision."""
    import torch
    from transformers import Qwen3ForCausalLM

    model = Qwen3ForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    generate = plain_generate(model, tokenizer)
    held, digest = read_heldout()
    splits = {}
    for split in dict.fromkeys(row.split for row in held):
        chosen: list[HeldOut] = [row for row in held if row.split == split][:rows]
        bag = bag_of_words(chosen, trained_on=bag_examples)
        splits[split] = {**measure(chosen, generate([row.prompt for row in chosen])), "bag_of_words": bag}
    return {"heldout_sha256": digest, "parameters": model.num_parameters(), "splits": splits}
