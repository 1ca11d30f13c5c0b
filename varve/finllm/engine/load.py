"""From a checked folder to a running engine; runs in one process share the engine of a model."""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from varve.errors import BadFileError, ModelError, SettingError, UsageError
from varve.finllm.engine.model_folder import Adapter, ModelFiles, adapter_fingerprint, read_folder
from varve.finllm.engine.queue import Engine, Request, Worker

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

THREADS_VARIABLE = "VARVE_TORCH_THREADS"
DEVICE_VARIABLE = "VARVE_DEVICE"
SMALL = 30_000_000
"""Parameters below which one thread computes."""
ROOM = 1.2
"""Memory beside the weights, for keys, values and what is computed."""

_Held = tuple[str, str, str]
"""What an engine holds: hashes of weights and adapter, and the device."""

_ENGINES: dict[_Held, Engine] = {}
_LOCK = threading.Lock()


def shared_engine(files: ModelFiles, adapter: Adapter | None = None) -> Engine:
    """The engine of a model and adapter in this process, opened at the first call.

    ``VARVE_DEVICE`` is ``cpu`` or ``cuda``, by default cuda where there is one;
    ``VARVE_TORCH_THREADS`` is how many threads compute on the CPU, by default one for a small model
    and one per core for others.

    Engines are kept by what they hold, not by where it lies: another folder with the same weights and
    adapter shares the engine, and an adapter that was trained again gets one of its own.

    Raises:
        BadFileError: if the weights were changed since they were checked.
        ModelError: if the model is too big for the device, or cannot be loaded.
        SettingError: if a variable has a value that cannot be used.
    """
    device = chosen_device()
    key = (files.fingerprint, "" if adapter is None else adapter.fingerprint, device)
    with _LOCK:
        engine = _ENGINES.get(key)
        if engine is None or engine.dead is not None:
            engine = open_engine(files, None if adapter is None else adapter.folder, device=device)
            if _held(files.folder, adapter, device) != key:
                _free(engine)
                raise BadFileError(
                    f"the model in {files.folder} was changed while it was opened",
                    mend="wait until it is written, then start again",
                )
            _ENGINES[key] = engine
        return engine


def let_go(files: ModelFiles, adapter: Adapter | None = None) -> bool:
    """Close the engine of a model and adapter and free its weights; False where none is open.

    Whoever uses it still gets a :class:`ModelError` once; the next use opens it again.
    """
    key = (files.fingerprint, "" if adapter is None else adapter.fingerprint, chosen_device())
    with _LOCK:
        engine = _ENGINES.pop(key, None)
    if engine is not None:
        _free(engine)
    return engine is not None


def _held(folder: Path, adapter: Adapter | None, device: str) -> _Held:
    """What lies in the folders now."""
    tuned = "" if adapter is None else adapter_fingerprint(adapter.folder)
    return read_folder(folder).fingerprint, tuned, device


class _Gone:
    """Stands where the weights were, so that nobody who still has the engine keeps them in memory."""

    def check(self, request: Request) -> None:
        """Refuse everything."""
        raise ModelError("the model was let go", mend="open it again")


def _free(engine: Engine) -> None:
    engine.close()
    engine.worker = cast("Worker", _Gone())


def open_engine(files: ModelFiles, adapter: Path | None = None, *, device: str = "cpu") -> Engine:
    """An engine of its own; raises as :func:`shared_engine`."""
    from varve.finllm.engine.torch_worker import HostedModel

    set_threads(files.parameters)
    check_size(files, device)
    model, tokenizer = load(files, adapter, device=device)
    return Engine(HostedModel(model, tokenizer), name=f"the model in {files.folder.name}")


def chosen_device() -> str:
    """``cpu`` or ``cuda``.

    Raises:
        SettingError: if the one asked for is not there.
    """
    import torch

    given = os.environ.get(DEVICE_VARIABLE, "").strip().lower()
    there = torch.cuda.is_available()
    if given not in ("", "cpu", "cuda") or (given == "cuda" and not there):
        raise SettingError(
            f"{DEVICE_VARIABLE} cannot be {given!r}: cpu{' or cuda' if there else ''} expected here"
        )
    return given or ("cuda" if there else "cpu")


def set_threads(parameters: int) -> None:
    """How many threads torch computes with; where nothing is set, one for a small model, else its own choice.

    Threads that share a matrix of a few thousand numbers wait for each other longer than they work: on a
    busy machine a decision of nano took ten times as long with two.

    Raises:
        SettingError: if the variable is no whole number above 0.
    """
    import torch

    given = os.environ.get(THREADS_VARIABLE, "").strip()
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise SettingError(f"{THREADS_VARIABLE} cannot be {given!r}: a whole number above 0 expected")
        torch.set_num_threads(int(given))
    elif parameters < SMALL:
        torch.set_num_threads(1)


def check_size(files: ModelFiles, device: str) -> None:
    """Refuse a model that will not fit.

    Raises:
        ModelError: with the bytes needed and there.
    """
    width = 2 if device == "cuda" else 4
    needed, there = int(files.parameters * width * ROOM), free_bytes(device)
    if there is not None and needed > there:
        kind = "bfloat16 on cuda" if device == "cuda" else "float32 on cpu"
        raise ModelError(
            f"the model in {files.folder} is too big for this device: {files.parameters / 1e9:.2f} billion "
            f"parameters in {kind} need about {needed / 2**30:.1f} GiB, {there / 2**30:.1f} GiB are free",
            mend="use a smaller model, or one behind a server: --llm openai:MODEL@BASE_URL",
        )


def free_bytes(device: str) -> int | None:
    """Memory that can be had; None where the system does not say."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def load(
    files: ModelFiles, adapter: Path | None, *, device: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer, from files alone and never with code of the model's own.

    Raises:
        BadFileError: if transformers cannot load them.
        UsageError: if an adapter is given and the package peft is missing.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    given: dict[str, bool] = {"local_files_only": True, "trust_remote_code": False}
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, **given)
        model, told = AutoModelForCausalLM.from_pretrained(
            files.folder,
            dtype=dtype,
            attn_implementation="sdpa",
            use_safetensors=True,
            output_loading_info=True,
            **given,
        )
    except Exception as error:  # transformers, tokenizers and safetensors raise anything here
        raise _bad(files.folder, f"transformers cannot load it: {type(error).__name__}: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
    # What the weights lack is drawn at random by transformers.
    lacking = sorted(told["missing_keys"])
    if lacking or told["mismatched_keys"]:
        raise _bad(
            files.folder, f"its weights lack {len(lacking)} parts that its config names: {lacking[:1]}"
        )
    if adapter is not None:
        model = with_adapter(model, adapter)
    return model.to(device).eval(), tokenizer


def with_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with a LoRA adapter merged into its weights.

    Raises:
        UsageError: if the package peft is missing.
        BadFileError: if the adapter is for another model.
    """
    if find_spec("peft") is None:
        raise UsageError(
            "adapters need the package peft, which is not installed", mend="pip install 'varve[train]'"
        )
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except Exception as error:  # peft raises anything here
        raise _bad(folder, f"the adapter does not fit the model: {type(error).__name__}: {error}") from error


def _bad(folder: Path, what: str) -> BadFileError:
    return BadFileError(
        f"the model in {folder} cannot be used: {what[:400]}",
        mend="give the complete folder of a causal language model with safetensors weights",
    )
