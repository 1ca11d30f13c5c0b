"""A model's folder, looked at before anything of it is loaded. Light on import: no torch, no transformers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from varve.bounded import UNREADABLE, parse_json, read_text
from varve.errors import BadFileError, NoDataError
from varve.files import named_path
from varve.harmless import shortened

ConfigTable = dict[str, Any]
"""A table of JSON that a model's folder holds; others decide its keys."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
_MEND = (
    "give the folder of a causal language model with safetensors weights, for example hf:~/models/qwen3-8b"
)
_LARGEST = 10**9
_LARGEST_IN_TEMPLATE = 100_000
_MAX_JSON_BYTES = 128 * 2**20
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
Given = ParamSpec("Given")
Made = TypeVar("Made")
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class ModelFiles:
    """What a folder holds. ``parameters`` counts numbers, ``fingerprint`` is SHA-256 (hex) over weights,
    config and tokenizer.
    """

    folder: Path
    config: ConfigTable
    template: str
    parameters: int
    fingerprint: str

    @property
    def context(self) -> int:
        """Most tokens, 0 where the config does not say."""
        text = self.config.get("text_config") or self.config
        given = text.get("max_position_embeddings")
        return given if isinstance(given, int) and given > 0 else 0


def find_folder(given: str) -> Path:
    """The folder of a path, or of a hub id whose files lie in the local Hugging Face cache.

    Raises:
        NoDataError: if there is neither; nothing is downloaded.
        UsageError: if it can be no path.
    """
    folder = named_path(given)
    if folder.is_dir():
        return folder
    if given.count("/") == 1 and not given.startswith((".", "~", "/")):
        from huggingface_hub import try_to_load_from_cache

        try:
            found = try_to_load_from_cache(given, "config.json")
        except ValueError:  # no form of an id
            found = None
        if isinstance(found, str):
            return Path(found).parent
        raise NoDataError(
            f"there is neither a folder {given} nor a model of that id on this machine", mend=_MEND
        )
    raise NoDataError(f"there is no model folder {folder}", mend=_MEND)


def _readable(read: Callable[Given, Made]) -> Callable[Given, Made]:
    """Turn what a table of unexpected kinds of values leads to into the error of a bad folder."""

    @wraps(read)
    def checked(*given: Given.args, **more: Given.kwargs) -> Made:
        try:
            return read(*given, **more)
        except (OSError, *UNREADABLE) as error:
            folder = next(one for one in given if isinstance(one, Path))
            raise _bad(
                folder, f"its files say {shortened(f'{type(error).__name__}: {error}', 200)}"
            ) from error

    return checked


@_readable
def read_folder(folder: Path) -> ModelFiles:
    """Check a model's folder.

    Raises:
        BadFileError: if it holds no causal language model with a chat template, or weights that are
            truncated or pickled.
    """
    config = _json(folder / "config.json")
    names = config.get("architectures") or []
    if not any(
        str(name).endswith(("ForCausalLM", "ForConditionalGeneration")) for name in names
    ) or config.get("is_encoder_decoder"):
        told = ", ".join(map(str, names)) or "none"
        raise _bad(folder, f"its architecture is {told}, a causal language model (...ForCausalLM) expected")
    headers = [_header(path) for path in _weights(folder)]
    parameters = sum(math.prod(entry["shape"]) for header in headers for entry in header.values())
    _check_config(folder, config, sum(map(len, headers)))
    if not (folder / "tokenizer.json").is_file():
        raise _bad(folder, "it has no tokenizer.json")
    return ModelFiles(
        folder, config, _template(folder), parameters, fingerprint(folder, ("config.json", *_TOKENIZER))
    )


def _check_config(folder: Path, config: ConfigTable, tensors: int) -> None:
    """Check that the config describes no more than there are weights for, before anything is made of it."""
    for table in (config, config.get("text_config") or {}):
        for name, value in table.items():
            layers = name in ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
            if layers and (type(value) is not int or not 0 < value <= tensors):
                raise _bad(folder, f"its config has {name} = {value!r}, its weights are {tensors:,} tensors")
            if type(value) is int and abs(value) > _LARGEST:
                raise _bad(folder, f"its config has {name} = {value:,}, at most {_LARGEST:,} expected")


class Adapter(NamedTuple):
    """A LoRA adapter's folder, and SHA-256 (hex) over its weights and settings when it was checked."""

    folder: Path
    fingerprint: str


@_readable
def read_adapter(folder: Path, base: ModelFiles) -> Adapter:
    """Check a LoRA adapter's folder against its base model.

    Raises:
        NoDataError: if it is not there.
        BadFileError: if it is no adapter of this model's shape.
    """
    if not folder.is_dir():
        raise NoDataError(f"there is no adapter folder {folder}", mend="give hf:MODEL+ADAPTER with folders")
    config = _json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise _bad(folder, f"its adapter is of type {config.get('peft_type')!r}, LORA expected")
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise _bad(folder, "it has no adapter_model.safetensors (pickled weights are refused)")
    width = (base.config.get("text_config") or base.config).get("hidden_size")
    shapes = {tuple(entry["shape"]) for name, entry in _header(path).items() if "q_proj.lora_A" in name}
    for shape in shapes:
        if shape[-1] != width:
            raise _bad(
                folder, f"the adapter is for a model of width {shape[-1]}; {base.folder} has width {width}"
            )
    return Adapter(folder, adapter_fingerprint(folder))


def adapter_fingerprint(folder: Path) -> str:
    """SHA-256 (hex) over an adapter's weights and settings."""
    return fingerprint(folder, ("adapter_config.json",))


def fingerprint(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 (hex) over the weights and these files where they are, each with its name."""
    paths = [*sorted(folder.glob("*.safetensors")), *(folder / name for name in names)]
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            stat = path.stat()
            digest.update(f"{path.name}\n{_file_hash(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, changed_ns: int) -> str:
    """Of a file as it was then: one process opens the same model many times."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _bad(path.parent, f"{path.name} cannot be read: {error}") from error


def _weights(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        pickled = [path.name for pattern in _PICKLES for path in sorted(folder.glob(pattern))]
        if pickled:
            raise _bad(
                folder,
                f"its weights are pickled ({pickled[0]}): such a file can run any program when it is read, "
                "so only safetensors are loaded",
            )
        raise _bad(folder, "there are no weights (*.safetensors)")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = set((_json(index).get("weight_map") or {}).values())
        missing = sorted(named - {path.name for path in found})
        if missing:
            raise _bad(
                folder, f"{len(missing)} of its files of weights are missing, for example {missing[0]}"
            )
    return found


def _header(path: Path) -> ConfigTable:
    """The table of a safetensors file, its length checked against the file's."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            raw = file.read(min(size, 100 * 2**20))
        table = parse_json(raw)
        table.pop("__metadata__", None)
        wanted = 8 + size + max((entry["data_offsets"][1] for entry in table.values()), default=0)
    except (OSError, *UNREADABLE) as error:
        raise _bad(path.parent, f"{path.name} is no safetensors file, or a part of one: {error}") from error
    there = path.stat().st_size
    if there != wanted:
        raise _bad(path.parent, f"{path.name} is truncated: {there:,} bytes, {wanted:,} expected")
    return dict(table)


def _template(folder: Path) -> str:
    """The chat template: of several the one for tools, else the default one."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _checked_template(folder, read_text(file))
    given = _json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(given, list):
        named = {one.get("name"): one.get("template") for one in given if isinstance(one, dict)}
        given = named.get("tool_use") or named.get("default")
    if not isinstance(given, str) or not given.strip():
        raise _bad(
            folder,
            "it has no chat template, so it was hardly trained to talk; an instruction-tuned model is needed",
        )
    return _checked_template(folder, given)


def _checked_template(folder: Path, text: str) -> str:
    """A template that can be read as one and computes with no large numbers."""
    from jinja2 import Environment, TemplateError, nodes
    from jinja2.ext import loopcontrols

    try:
        # Tags that transformers adds are no reason to refuse one; it reads the template again.
        tree = Environment(extensions=[loopcontrols]).parse(_GENERATION.sub("", text))
    except (TemplateError, RecursionError) as error:
        raise _bad(folder, f"its chat template cannot be read: {error}") from error
    numbers = [one.value for one in tree.find_all(nodes.Const) if type(one.value) is int]
    if any(tree.find_all(nodes.Pow)) or any(abs(number) > _LARGEST_IN_TEMPLATE for number in numbers):
        raise _bad(folder, f"its chat template computes with numbers above {_LARGEST_IN_TEMPLATE:,}")
    return text


def _json(path: Path) -> ConfigTable:
    try:
        found = parse_json(read_text(path, _MAX_JSON_BYTES))
    except (OSError, ValueError) as error:
        raise _bad(path.parent, f"{path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise _bad(path.parent, f"{path.name} is no table")
    return found


def _bad(folder: Path, what: str) -> BadFileError:
    return BadFileError(f"the model in {folder} cannot be used: {what}", mend=_MEND)
