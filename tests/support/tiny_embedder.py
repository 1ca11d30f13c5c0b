"""A transformers encoder of a few thousand numbers, made on disk."""

import json

WORDS = [
    "the",
    "shares",
    "of",
    "a",
    "bank",
    "rise",
    "fall",
    "after",
    "profit",
    "loss",
    "warning",
    "record",
    "quarter",
    ",",
    ".",
]


def write_tiny_model(folder, *, seed=0, safe=True, words=WORDS, **config):
    """A BERT of two layers with a word-level tokenizer in ``folder``."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = list(dict.fromkeys([*special, *words, *letters]))
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(seed)
    shape = {
        "vocab_size": len(vocabulary), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 24, "initializer_range": 0.3,
    }  # fmt: skip
    model = BertModel(BertConfig(**{**shape, **config}))
    if safe:
        model.save_pretrained(folder)
    else:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "config.json").write_text(json.dumps(model.config.to_dict()), encoding="utf-8")
    return folder
