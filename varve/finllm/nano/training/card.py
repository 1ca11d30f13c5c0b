"""The model card, written from the evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Measured = dict[str, Any]
"""What became of a training: sizes, seconds, and shares by split of the held-out rows."""
CARD = "MODEL_CARD.md"

_TEXT = """# nano

**nano is not an analyst.** It is a small program in the form of a language model: it has learned to read
one kind of page and to answer as a fixed rule would. It knows nothing of companies, markets or the world,
understands no text beyond the phrases that it was trained on and their like, and has no view worth money.
It is there so that a first run is a real language-model run without a download or a key, and so that
agents, memory and replay can be tried. Do not trade on it.

| | |
|---|---|
| architecture | Qwen3 decoder, {parameters:,} parameters, tied embeddings, trained from scratch |
| tokenizer | own byte-level BPE, {vocabulary:,} tokens, each digit one |
| context | 2,048 tokens; trained on pages of at most {trained_length} |
| tool calls | `<tool_call>` form (family `hermes`) |
| knowledge cut-off | none: it has read no real text, only generated lines |
| training data | drawn by `varve.finllm.nano.examples` from lines written for this project; no feed |
| training | {steps:,} steps of {tokens:,} tokens, seed {seed}, {minutes:.0f} minutes on {workers} CPU cores |
| licence | Apache-2.0 |

## What it was taught
The rule is in `varve/finllm/nano/answers.py`: call each line good, bad, plain, mixed or old, keep a running
count, add the trend, decide by count, profile and position. Its `rationale` is that count, so every answer
can be checked by hand. It asks at most one question before it decides.

## What it was measured at
On the held-out rows committed before training (SHA-256 `{digest}`),
greedy and without constraint. *bag of words* is a logistic regression over words and pairs of words of the
same prompts; *always HOLD* is what that answer alone would score.

{table}

`fresh`: wording and names as in training, values of their own. `subjects`: companies, tickers and products
never trained on. `wording`: every line from a pattern never trained on. `long`: pages of about 1.5 times the
longest of training. `stages`: FinAgent's stages, *action* being the share of forms right in every field.
`letters`: the action chosen by its letter, no count written; as it learned nothing beyond HOLD there,
`--decide score` weighs behind its written count instead. The 8-gram overlap of each with the training data
is in `heldout.json`; how the weights were made is in `docs/models/nano.md`.

## Where it fails
Wording that it has not met: real headlines are wider than any list of patterns, so expect worse than the row
`wording` on them. Irony, negation over many words, numbers that must be compared, other languages, images.
It cannot chat, or follow an instruction in words.
"""

_COLUMNS = {
    "valid": "valid",
    "right_tool": "right tool",
    "action_accuracy": "action",
    "bag_of_words": "bag of words",
    "always_hold": "always HOLD",
    "cited_exist": "cited exist",
    "word_for_word": "word for word",
}


def write_card(folder: Path, found: Measured) -> None:
    """Write ``MODEL_CARD.md`` from what :func:`varve.finllm.nano.training.pipeline.build` measured."""
    import json

    from varve.finllm.nano.training.trainer import TRAINED_LENGTH

    training = found["training"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = _TEXT.format(
        parameters=found["parameters"],
        vocabulary=config["vocab_size"],
        trained_length=TRAINED_LENGTH,
        steps=training["steps"],
        tokens=training["batch_tokens"] * training["workers"],
        seed=training["seed"],
        minutes=training["seconds"] / 60,
        workers=training["workers"],
        digest=found["heldout_sha256"],
        table=_table(found["splits"]),
    )
    (folder / CARD).write_text(text, encoding="utf-8")


def _table(splits: dict[str, dict[str, float | None]]) -> str:
    lines = [f"| split | rows | {' | '.join(_COLUMNS.values())} |", "|---" * (len(_COLUMNS) + 2) + "|"]
    for split, shares in splits.items():
        found = [shares.get(name) for name in _COLUMNS]
        cells = ["–" if share is None else f"{100 * share:.1f} %" for share in found]
        lines.append(f"| {split} | {shares['rows']:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)
