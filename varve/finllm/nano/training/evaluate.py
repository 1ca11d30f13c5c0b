"""How well nano does on held-out rows: validity, tools, actions, citations, and a bag of words beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from varve.finllm.nano.answers import LETTER
from varve.finllm.nano.examples import QUESTIONS, Example, draw_example
from varve.finllm.nano.prompt_view import SENTIMENTS
from varve.finllm.nano.shipped import MAX_NEW_TOKENS
from varve.finllm.nano.stage_view import IMPORTANCES, STAGES
from varve.finllm.nano.tokenizer import END, number_of, prompt_of
from varve.finllm.nano.training.heldout import HeldOut
from varve.types import Arguments, Json, JsonObject

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import Qwen3ForCausalLM

Generate = Callable[[Sequence[str]], list[str]]


def read_call(text: str) -> tuple[str, JsonObject] | None:
    """The one tool call of a reply, as an engine reads it; None where there is none."""
    body = text.strip()
    if not body.startswith("<tool_call>") or not body.endswith("</tool_call>"):
        return None
    try:
        call = json.loads(body.removeprefix("<tool_call>").removesuffix("</tool_call>"))
        return call["name"], dict(call["arguments"])
    except (ValueError, KeyError, TypeError):
        return None


def fits(name: str, arguments: Arguments, row: HeldOut) -> bool:
    """Whether a call is one that the agent would take: tool bound, all fields there and of their kind."""
    if name not in row.tools:
        return False
    if name in STAGES:
        return _fills(name, arguments, row)
    wanted = {
        "decide": {"rationale", "action", "confidence", "cited_memories"},
        "explain": {"rationale", "cited_memories"},
        "news": {"days"},
        "price_history": {"days"},
        "indicator": {"name", "window"},
        "recall_memory": {"query", "tier"},
    }[name]
    if set(arguments) != wanted:
        return False
    if name in ("news", "price_history"):
        return isinstance(arguments["days"], int)
    if name in QUESTIONS:
        return True
    if name == "decide" and (
        arguments["action"] not in ("BUY", "HOLD", "SELL", "FLAT")
        or arguments["confidence"] not in range(0, 101, 5)
    ):
        return False
    return isinstance(arguments["cited_memories"], list) and bool(arguments["rationale"])


def _fills(name: str, arguments: Arguments, row: HeldOut) -> bool:
    """Whether a form is filled: its fields, none empty, words of a choice, labels that are shown."""
    if name == "rate_importance":
        return set(arguments) == {"importance"} and arguments["importance"] in IMPORTANCES
    texts = dict(arguments)
    if name == "summarise_news":
        items = texts.pop("items", None)
        if not isinstance(items, list) or not all(_is_item(item, row) for item in items):
            return False
    wanted = set(row.target.arguments) - {"items"}
    return set(texts) == wanted and all(isinstance(text, str) and text for text in texts.values())


def _is_item(item: Json, row: HeldOut) -> bool:
    return (
        isinstance(item, dict)
        and set(item) == {"item", "horizon", "sentiment", "summary"}
        and f"\n{item['item']} " in row.prompt
        and item["horizon"] in ("short", "medium", "long")
        and item["sentiment"] in SENTIMENTS
        and isinstance(item["summary"], str)
        and bool(item["summary"])
    )


def measure(rows: Sequence[HeldOut], replies: Sequence[str]) -> dict[str, float | None]:
    """Shares over the rows of one split; ``action`` over those where the teacher decides or fills a form.

    A form counts where every field of it is right. What no row asks for is None.
    """
    count = dict.fromkeys(("valid", "tool", "exact", "action", "hold", "cited", "arguments"), 0)
    decided = asked = cites = 0
    for row, reply in zip(rows, replies, strict=True):
        if row.target.name == LETTER:
            decided += 1
            right = reply == row.target.text
            count["valid"] += reply in ("A", "B", "C", "D")
            for share in ("tool", "exact", "action"):
                count[share] += right
            count["hold"] += f"{row.target.text} HOLD" in row.prompt
            continue
        call = read_call(reply)
        valid = call is not None and fits(*call, row)
        name, arguments = call if call and valid else ("", {})
        count["valid"] += valid
        count["tool"] += name == row.target.name
        count["exact"] += (name, arguments) == (row.target.name, dict(row.target.arguments))
        if row.target.name == "decide":
            decided += 1
            count["action"] += arguments.get("action") == row.target.arguments["action"]
            count["hold"] += row.target.arguments["action"] == "HOLD"
        elif row.target.name in QUESTIONS:
            asked += 1
            count["arguments"] += arguments == dict(row.target.arguments)
        elif row.target.name in STAGES:
            decided += 1
            count["action"] += arguments == dict(row.target.arguments)
        cited = arguments.get("cited_memories")
        for label in cited if isinstance(cited, list) else ():
            cites += 1
            count["cited"] += f"\n{label} " in row.prompt
    total, holds = len(rows), any(row.target.name not in STAGES for row in rows)
    shares = {
        "rows": total,
        "valid": count["valid"] / total,
        "right_tool": count["tool"] / total,
        "word_for_word": count["exact"] / total,
        "action_accuracy": count["action"] / decided if decided else None,
        "always_hold": count["hold"] / decided if decided and holds else None,
        "cited_exist": count["cited"] / cites if cites else None,
        "right_arguments": count["arguments"] / asked if asked else None,
    }
    return {name: None if value is None else round(value, 4) for name, value in shares.items()}


def bag_of_words(rows: Sequence[HeldOut], *, trained_on: int = 8000, seed: int = 77) -> float | None:
    """Accuracy of a logistic regression over words and pairs of words of the same prompts.

    None where none of the rows decides by ``decide``.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    rng = Random(seed)
    examples: list[Example] = []
    while len(examples) < trained_on:
        example = draw_example(rng, "train")
        if example.target.name == "decide":
            examples.append(example)
    words = CountVectorizer(ngram_range=(1, 2), min_df=3, token_pattern=r"\S+")
    features = words.fit_transform([prompt_of(example) for example in examples])
    model = LogisticRegression(C=0.1, max_iter=300)
    model.fit(features, [example.target.arguments["action"] for example in examples])
    decided = [row for row in rows if row.target.name == "decide"]
    if not decided:
        return None
    guessed = model.predict(words.transform([row.prompt for row in decided]))
    right = sum(guess == row.target.arguments["action"] for guess, row in zip(guessed, decided, strict=True))
    return float(round(right / len(decided), 4))


def plain_generate(model: Qwen3ForCausalLM, tokenizer: Tokenizer, *, batch: int = 25) -> Generate:
    """Greedy, unconstrained, left-padded batches of like length."""

    def generate(prompts: Sequence[str]) -> list[str]:
        import torch

        encoded = [tokenizer.encode(prompt).ids for prompt in prompts]
        order = sorted(range(len(prompts)), key=lambda place: len(encoded[place]))
        end = number_of(tokenizer, END)
        replies = [""] * len(prompts)
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            longest = max(len(encoded[place]) for place in places)
            ids = torch.full((len(places), longest), end)
            mask = torch.zeros_like(ids)
            for row, place in enumerate(places):
                ids[row, longest - len(encoded[place]) :] = torch.tensor(encoded[place])
                mask[row, longest - len(encoded[place]) :] = 1
            with torch.inference_mode():
                out = model.generate(
                    input_ids=ids, attention_mask=mask, max_new_tokens=MAX_NEW_TOKENS, do_sample=False,
                    eos_token_id=end, pad_token_id=end,
                )  # fmt: skip
            for row, place in enumerate(places):
                said = out[row, longest:].tolist()
                said = said[: said.index(end)] if end in said else said
                replies[place] = tokenizer.decode(said, skip_special_tokens=False)
        return replies

    return generate
