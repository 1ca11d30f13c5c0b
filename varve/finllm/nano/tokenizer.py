"""nano's tokenizer: byte-level BPE, each digit a token, and single tokens for the parts of a reply."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from varve.finllm.nano.answers import MOST
from varve.finllm.nano.examples import MAX_LABEL, MAX_NEWS_LABEL, QUESTIONS, Example
from varve.finllm.nano.stage_view import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

VOCABULARY = 4096
PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"

TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' -}}"
    "{%- if message.content %}{{- message.content -}}{% endif -%}"
    "{%- for call in message.tool_calls or [] -%}"
    "{%- set call = call.function if call.function is defined else call -%}"
    "{%- if not loop.first %}{{- '\\n' -}}{% endif -%}"
    '{{- \'<tool_call>\\n{"name": "\' + call.name + \'", "arguments": \' -}}'
    "{{- call.arguments if call.arguments is string else call.arguments | tojson -}}"
    "{{- '}\\n</tool_call>' -}}"
    "{%- endfor -%}"
    "{%- if loop.first and tools -%}"
    "{{- '\\ntools' -}}"
    "{%- for tool in tools -%}"
    "{{- ' ' + (tool.function if tool.function is defined else tool).name -}}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' -}}{% endif -%}"
)


def render(messages: Iterable[tuple[str, str]], tools: Iterable[str]) -> str:
    """What ``TEMPLATE`` makes of a conversation, up to the reply that is due."""
    parts = []
    for place, (role, text) in enumerate(messages):
        bound = f"\ntools {' '.join(tools)}" if place == 0 else ""
        parts.append(f"{START}{role}\n{text}{bound}{END}\n")
    return "".join(parts) + f"{START}assistant\n"


def prompt_of(example: Example) -> str:
    """The rendered prompt of an example."""
    return render(example.messages, example.tools)


def reply_pieces() -> list[str]:
    """Text that stands in replies as a whole, each one token."""
    tallies = [f" {count:+d}, " for count in range(-MOST, MOST + 1)]
    actions = [f'", "action": "{action}"' for action in ("BUY", "HOLD", "SELL", "FLAT")]
    confidences = [f', "confidence": {percent}' for percent in range(0, 101, 5)]
    pieces = [
        "<tool_call>\n",
        "\n</tool_call>",
        '{"name": "decide", "arguments": {"rationale": "',
        '{"name": "explain", "arguments": {"rationale": "',
        '", "cited_memories": ["',
        ', "cited_memories": ["',
        '", "cited_memories": []}}',
        ', "cited_memories": []}}',
        '"]}}',
        '", "',
        '{"name": "news", "arguments": {"days": ',
        '{"name": "price_history", "arguments": {"days": ',
        '{"name": "indicator", "arguments": {"name": "volatility", "window": ',
        '{"name": "recall_memory", "arguments": {"query": "',
        '", "tier": "reflection"}}',
        '{"name": "summarise_news", "arguments": {"items": [',
        '{"item": "',
        '"}, {"item": "',
        '", "horizon": "',
        '", "sentiment": "',
        '", "summary": "',
        '"}], "summary": "',
        '", "short_query": "',
        '", "medium_query": "',
        '", "long_query": "',
        '{"name": "summarise_past", "arguments": {"summary": "',
        '{"name": "explain_moves", "arguments": {"short": "',
        '", "medium": "',
        '", "long": "',
        '", "query": "',
        '{"name": "review_decisions", "arguments": {"right": "',
        '", "missed": "',
        '", "correct": "',
        '{"name": "rate_importance", "arguments": {"importance": "',
        '"}}',
        *STAGES,
        *QUESTIONS,
        "decide",
        "explain",
        "trend",
        "against",
        "neither",
        " report",
    ]
    return [*pieces, *actions, *confidences, *tallies, *_labels()]


def _labels() -> list[str]:
    return [f"M{n}" for n in range(1, MAX_LABEL + 1)] + [f"N{n}" for n in range(1, MAX_NEWS_LABEL + 1)]


def train_tokenizer(texts: Iterable[str], size: int = VOCABULARY) -> Tokenizer:
    """A tokenizer of ``size`` tokens learned from rendered prompts and replies."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    pieces = reply_pieces()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(pieces),
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=5,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in pieces])
    return tokenizer


def number_of(tokenizer: Tokenizer, token: str) -> int:
    """The number of a token that the tokenizer has for certain."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise KeyError(token)
    return number


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer.json``, its settings and the chat template."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(str(folder))
