"""Runs that end by SIGKILL: started in a process of its own, which imports once and forks per trial.

``python killing_runs.py FOLDER SETTINGS SHARE...`` prints one JSON line for the run to which nothing happens,
then one for each share of its calls at which it is killed. A child kills itself at that call of a function
of Varve, wherever that is: between steps, inside a transaction, while memory is flushed, while results are
derived. A second child resumes what is left, replays it and reads its memory from the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Imported before the forks, once for all of them.
import chromadb  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import vectorbt  # noqa: F401

from varve.backtests import derive  # noqa: F401
from varve.backtests.config import RunConfig
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import recorded_steps
from varve.backtests.report import page as report  # noqa: F401
from varve.backtests.resume import resume_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import prepare
from varve.backtests.simulate.steps import simulate
from varve.config import canonical_json
from varve.memory.disk.chroma import ChromaStore


def killed_run(config: RunConfig, kill_at: int) -> dict[str, Any]:
    """A run that ends at its ``kill_at``-th call; where it is never reached, how many there were."""
    left = kill_at

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        if event == "call" and frame.f_globals.get("__name__", "").startswith("varve."):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    folder = run_backtest(config, on_start=lambda prepared, folder: sys.setprofile(count))
    sys.setprofile(None)
    return {"calls": kill_at - left, "digest": folder.read().run_digest, "memory": stored_memory(folder)}


def resumed_run(folder: RunFolder) -> dict[str, Any]:
    """What becomes of a killed run."""
    manifest = folder.read()
    steps = len(recorded_steps(folder, manifest)) if folder.journal.exists() else 0
    resume_run(folder)
    after = folder.read()
    return {
        "was": manifest.status,
        "steps": steps,
        "status": [after.status, after.reason],
        "digest": after.run_digest,
        "replayed": replay_run(folder).digest,
        "memory": stored_memory(folder),
    }


def stored_memory(folder: RunFolder) -> str:
    """SHA-256 of everything that chromadb holds of the run: texts, lives, vectors, checkpoint."""
    store = ChromaStore(folder.memory, folder.read().run_id, "finmem")
    stored = store.read()
    store.close()
    assert stored is not None, "the run has no memory on disk"
    assert sum(map(len, stored.rows.values())) > 50
    digest = hashlib.sha256(canonical_json(stored.checkpoint).encode())
    for tier, rows in sorted(stored.rows.items()):
        for row in sorted(rows, key=lambda row: row.id):
            digest.update(canonical_json([tier, row.id, row.text, dict(row.metadata)]).encode())
            digest.update(row.vector.tobytes() if row.vector is not None else b"")
    return digest.hexdigest()


def forked(act: Callable[[], dict[str, Any]], home: Path) -> dict[str, Any] | None:
    """What ``act`` gives in a child under this VARVE_HOME; None where it was killed.

    Raises:
        RuntimeError: if it failed.
    """
    listen, told = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.environ["VARVE_HOME"] = str(home)
            os.write(told, json.dumps(act()).encode())
            code = 0
        except BaseException:  # noqa: BLE001 (the parent is told)
            os.write(told, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(told)
    with os.fdopen(listen) as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status:
        raise RuntimeError(said)
    found: dict[str, Any] = json.loads(said)
    return found


def trial(config: RunConfig, home: Path, kill_at: int) -> dict[str, Any]:
    """Kill a run, resume it, and tell what came of it."""
    if forked(lambda: killed_run(config, kill_at), home) is not None:
        raise RuntimeError(f"the run ended before its call {kill_at}")
    (path,) = (home / "runs").iterdir()
    found = forked(lambda: resumed_run(RunFolder(path)), home)
    if found is None:
        raise RuntimeError("the resumed run was killed")
    return {"killed_at": kill_at, **found}


def main() -> None:
    folder, config = Path(sys.argv[1]), RunConfig.build(**json.loads(sys.argv[2]))
    simulate(prepare(config))  # loads what is loaded when it is first used
    whole = forked(lambda: killed_run(config, 10**12), folder / "whole")
    assert whole is not None
    print(json.dumps(whole), flush=True)
    for share in map(float, sys.argv[3:]):
        home = folder / f"killed-{share}"
        print(json.dumps(trial(config, home, 1 + int(share * whole["calls"]))), flush=True)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
