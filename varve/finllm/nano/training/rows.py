"""nano's shape, and what training feeds it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from varve.finllm.nano.examples import Example, draw_example
from varve.finllm.nano.tokenizer import END, PAD, number_of, prompt_of

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import Qwen3ForCausalLM

FULL = {
    "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6, "num_key_value_heads": 2,
    "head_dim": 32, "intermediate_size": 576,
}  # fmt: skip
QUICK = {
    "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3, "num_key_value_heads": 1,
    "head_dim": 32, "intermediate_size": 256,
}  # fmt: skip

IGNORED = -100
MAX_GAP = 90


def make_model(shape: dict[str, int], tokenizer: Tokenizer) -> Qwen3ForCausalLM:
    """A fresh decoder of the Qwen3 architecture with tied embeddings; draws from torch's global seed."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        **shape,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.02,
        pad_token_id=tokenizer.token_to_id(PAD),
        eos_token_id=tokenizer.token_to_id(END),
        bos_token_id=None,
        use_cache=True,
    )
    return Qwen3ForCausalLM(config)


@dataclass(frozen=True)
class Row:
    """One example in tokens; the loss is on the last ``replied`` of them."""

    ids: list[int]
    replied: int


def encode(example: Example, tokenizer: Tokenizer) -> Row:
    """Prompt, reply and the token that ends it."""
    prompt = tokenizer.encode(prompt_of(example)).ids
    reply = [*tokenizer.encode(example.target.text).ids, number_of(tokenizer, END)]
    return Row(prompt + reply, len(reply))


def draw_rows(seed: int, count: int, tokenizer: Tokenizer, ease: float, wide: float) -> list[Row]:
    """Training rows, in order of length; the same for the same seed."""
    rng = Random(seed)
    rows = [encode(draw_example(rng, "train", ease=ease, wide=wide), tokenizer) for _ in range(count)]
    return sorted(rows, key=lambda row: len(row.ids))


def batches(rows: list[Row], tokens: int) -> list[list[Row]]:
    """Rows of like length together, at most ``tokens`` a batch with padding."""
    found: list[list[Row]] = []
    batch: list[Row] = []
    for row in rows:
        if batch and len(row.ids) * (len(batch) + 1) > tokens:
            found.append(batch)
            batch = []
        batch.append(row)
    return [*found, batch] if batch else found


def tensors(batch: list[Row], pad: int, newline: int, rng: Random) -> tuple[torch.Tensor, ...]:
    """``(ids, labels, positions)``, each rows × length, padded on the right.

    In three rows of ten positions jump ahead at line ends, so that distances longer than any page of
    training are seen.
    """
    import torch

    longest = max(len(row.ids) for row in batch)
    ids = torch.full((len(batch), longest), pad)
    labels = torch.full((len(batch), longest), IGNORED)
    positions = torch.arange(longest).repeat(len(batch), 1)
    for place, row in enumerate(batch):
        ids[place, : len(row.ids)] = torch.tensor(row.ids)
        labels[place, len(row.ids) - row.replied : len(row.ids)] = torch.tensor(row.ids[-row.replied :])
        if rng.random() < 0.3:
            most = rng.randint(1, MAX_GAP)
            jumps = [rng.randint(0, most) if one == newline else 0 for one in row.ids[: -row.replied]]
            shift = torch.tensor(jumps + [0] * (longest - len(jumps))).cumsum(0)
            positions[place] += shift
    return ids, labels, positions.clamp_(max=2047)
