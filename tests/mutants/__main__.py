"""Measure the tests: ``python -m tests.mutants --size 200 --seed 20261130``.

The mutants are mutmut's. This draws some of them, puts one at a time into a copy of the package, runs the
tests that modules.toml names for the module, and writes a line for each to build/mutants/results.jsonl.
A run that was stopped goes on where it was; ``--again`` judges anew those that the tests did not notice.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

import libcst as cst
from mutmut.mutation.file_mutation import Mutation, create_mutations

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
COPY = WORK / "copy"
RESULTS = WORK / "results.jsonl"
COPIED = ("varve", "tests", "benchmarks", "docs", "pyproject.toml", "README.md")
LONGEST = 90.0


@dataclass(frozen=True)
class Mutant:
    """One module's source with one small fault, and the tests that should notice it."""

    path: str
    code: str
    tests: tuple[str, ...]

    @property
    def id(self) -> str:
        """A name that stays the same as long as the module does."""
        return hashlib.sha256(f"{self.path}\n{self.code}".encode()).hexdigest()[:12]

    def difference(self) -> str:
        """The changed lines."""
        before = (ROOT / self.path).read_text().splitlines()
        lines = list(difflib.unified_diff(before, self.code.splitlines(), lineterm="", n=0))
        return "\n".join(lines[2:])


def is_sentence(mutation: Mutation) -> bool:
    """Whether a text of several words would be changed: such texts are for readers."""
    node = mutation.original_node
    return isinstance(node, cst.SimpleString) and " " in node.value


def drawn(table: dict[str, Any], seed: int) -> Iterator[Mutant]:
    """Every mutant of the modules in an order drawn by ``seed``."""
    modules = {}
    candidates = []
    for entry in table["modules"]:
        for name in entry["names"]:
            for path in sorted(ROOT.glob(name)):
                key = path.relative_to(ROOT).as_posix()
                if key not in modules:
                    module, mutations, _, _ = create_mutations(key, path.read_text())
                    modules[key] = module
                    candidates += [(key, one) for one in mutations if not is_sentence(one)]
    print(f"{len(candidates)} mutants in {len(modules)} modules")
    random.Random(seed).shuffle(candidates)
    for key, mutation in candidates:
        tree = modules[key].deep_replace(mutation.original_node, mutation.mutated_node)
        try:
            compile(tree.code, key, "exec")
        except SyntaxError:
            continue
        yield Mutant(key, tree.code, tests_of(table, key))


def tests_of(table: dict[str, Any], module: str) -> tuple[str, ...]:
    """The tests that modules.toml names for ``module``."""
    fitting = (e for e in table["modules"] if any(fnmatch(module, name) for name in e["names"]))
    return tuple(next(fitting)["tests"])


def fresh_copy() -> None:
    """Copy what the tests need, without a mutant in it."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, COPY / name)


def in_child(tests: tuple[str, ...], compiled: bool) -> int:
    """Run ``tests`` in the copy; give pytest's exit code."""
    import pytest

    os.setsid()
    with (WORK / "last.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(COPY)
    sys.path[:] = [str(COPY), *(one for one in sys.path if one not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name == "tests" or name.startswith("tests.")]:
        del sys.modules[name]
    sys.dont_write_bytecode = not compiled
    os.environ["CI"] = "true"  # hypothesis then draws the same examples each time and keeps none
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
    import varve

    assert Path(varve.__file__).is_relative_to(COPY), "the tests ran against another copy"
    return int(code)


def run_tests(tests: tuple[str, ...], longest: float, compiled: bool = False) -> tuple[str, float]:
    """``survived``, ``killed`` or ``timeout``, and the seconds it took."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = in_child(tests, compiled)
        finally:
            os._exit(code)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        took = time.monotonic() - began
        if done:
            return ("killed" if status else "survived"), took
        if took > longest:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout", took
        time.sleep(0.02)


def judge(mutant: Mutant) -> dict[str, Any]:
    """Put ``mutant`` into the copy, run its tests, and take it out again."""
    target = COPY / mutant.path
    target.write_text(mutant.code)
    try:
        verdict, took = run_tests(mutant.tests, LONGEST)
    finally:
        shutil.copy2(ROOT / mutant.path, target)
    names = {"id": mutant.id, "module": mutant.path, "verdict": verdict}
    return {**names, "seconds": round(took, 1), "difference": mutant.difference()}


def earlier() -> dict[str, dict[str, Any]]:
    """The last result of each mutant that was judged before."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {one["id"]: one for one in map(json.loads, lines)}


def main() -> None:
    """Draw, judge and count."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--again", action="store_true", help="judge anew what the tests did not notice")
    options = parser.parse_args()
    table = tomllib.loads((Path(__file__).parent / "modules.toml").read_text())
    for name in table["preload"]:
        import_module(name)
    fresh_copy()
    for entry in table["modules"]:
        if run_tests(tuple(entry["tests"]), 10 * LONGEST, compiled=True)[0] != "survived":
            sys.exit(f"tests fail without a mutant: see {WORK / 'last.log'}")
    known, counts = earlier(), Counter[str]()
    for number, mutant in enumerate(drawn(table, options.seed), 1):
        result = known.get(mutant.id)
        if result is None or (options.again and result["verdict"] != "killed"):
            result = judge(mutant)
            with RESULTS.open("a") as lines:
                lines.write(json.dumps(result) + "\n")
            print(f"{number} {result['verdict']} {mutant.path} {result['seconds']} s", flush=True)
            if result["verdict"] != "killed":
                print(result["difference"], flush=True)
        counts[result["verdict"]] += 1
        if number == options.size:
            break
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
