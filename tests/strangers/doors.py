"""Every door by which something from outside comes in, each a function of a seed; and what may come of it.

A door takes a valid thing, changes it (a byte, a field, a word), and knocks. What follows is a right result
or a ``VarveError``; anything else raises here.
"""

import csv
import io
import json
import random
import shutil
from datetime import date
from pathlib import Path

from langchain_core.messages import AIMessage

from tests.support.mutations import (
    EACH_KIND,
    changed_database,
    changed_table,
    mutated,
    places,
    replaced,
    without,
)
from varve.backtests.config import RunConfig
from varve.backtests.record.inputs import read_inputs
from varve.backtests.sweeps.plan import read_sweep
from varve.cli.options import run_values, settings_of
from varve.errors import VarveError
from varve.finllm.chat.reply_cache import ReplyCache
from varve.finllm.chat.reply_records import reply_json
from varve.finllm.chat.reply_source import Answered
from varve.market.sources.source import Request, read_checked, source_of_file
from varve.market.store import Store
from varve.memory.disk.snapshot import read_snapshot
from varve.types import Usage

CODES = {0, 2, 3, 4, 5}
"""What a command may end with."""

SWEEP = """
[run]
llm = "scripted"
start = 2023-03-01
end = 2023-03-10
[vary]
ticker = ["TSLA", "AMZN"]
seed = [0, 1]
[[group]]
run.agent = "finmem"
run.settings.memory.short.tau_days = 10.0
vary.settings.profile = ["risk_seeking", "risk_averse"]
[[group]]
run.agent = "sma-cross"
run.costs = "zero"
"""
CONFIG = """
agent = "finmem"
ticker = "TSLA"
llm = "scripted"
start = 2023-03-01
end = "2023-03-10"
initial_cash = 50000.0
[settings]
top_k = 3
memory = { short = { tau_days = 10 }, preset = "varve" }
[settings.sizer]
"""
WORDS = (
    "run", "replay", "report", "compare", "rescore", "audit", "sweep", "data", "memory", "llm", "cache",
    "trials", "list", "show", "import", "export", "stats", "prune", "models", "settings", "agents",
    "finmem", "latest", "--ticker", "TSLA", "--agent", "buy-and-hold", "--start", "2023-03-01", "--end",
    "2023-03-03", "--set", "--seed", "--json", "--quiet", "--config", "--llm", "scripted", "--help",
    "--resume", "--at", "--memory", "--data", "store", "--world",
)  # fmt: skip
STRANGE = (
    "", " ", "A**", "A" * 5000, "a\0b", "\udc80", "~nosuchuser/x", "hf:~nosuchuser/x", "=1", "a.b.c.d=1",
    "[[[[", "-1", "1e400", "nan", "9" * 400, "../../etc", "/dev/null", "/", ".", "-", "--", "a=\x1b[2J",
    "[/b]", "é", "0000-00-00", "9999-12-31", "\u202e", "openai:x@http://[::1", "openai:x@http://u:p@h",
    "top_k=[[[[", "x" * 300 + "=1",
)  # fmt: skip


class Strangers:
    """Valid files of every kind, made once, and the doors that take changed copies of them."""

    def __init__(self, folder, command):
        self.folder, self.command = Path(folder), command
        self.folder.mkdir(exist_ok=True)

    def prepare(self, run, home):
        """Take what a run and a home hold as what is changed."""
        self.run = self.folder / "run"
        shutil.copytree(run, self.run)
        self.whole = {path.name: path.read_bytes() for path in self.run.iterdir() if path.is_file()}
        self.home = Path(home)
        self.cache = self.folder / "replies.jsonl"
        with ReplyCache() as cache:
            for i in range(3):
                reply = AIMessage(
                    f"reply {i}", tool_calls=[{"id": "a", "name": "decide", "args": {"action": "BUY"}}]
                )
                answered = Answered(reply_json(reply), Usage(10, 2, 1))
                cache.put(f"{i:064x}", {"name": "m", "fingerprint": "f", "settings": {}}, answered)
            assert cache.export(self.cache) == 3
        self.database = (self.home / "cache" / "replies.db").read_bytes()
        self.registry = self.home / "trials.jsonl"
        self.lines = self.registry.read_bytes()
        code, _, err = self.command("memory", "export", run.name, self.folder / "memory.parquet")
        assert code == 0, err
        self.prices = {
            "prices.csv": _prices().encode(),
            "prices.json": _investorbench(),
            "prices.parquet": _table(),
        }
        file = self.folder / "whole.csv"
        file.write_bytes(self.prices["prices.csv"])
        assert self.command("data", "import", file, "--ticker", "FZZ")[0] == 0
        for name, content in self.prices.items():
            (self.folder / name).write_bytes(content)
            found = expected(lambda name=name: _read(self.folder / name))
            assert found is not None or name == "prices.parquet", name
        self.stored = {path.name: path.read_bytes() for path in (self.home / "data" / "FZZ").iterdir()}

    def arguments(self, draw):
        """Words of commands in any order, strange ones among them."""
        words = [draw.choice(WORDS if draw.random() < 0.75 else STRANGE) for _ in range(draw.randrange(1, 7))]
        if words[0] in ("run", "ablate", "sweep", "audit") and draw.random() < 0.8:
            words += ["--ticker", draw.choice(STRANGE)]  # few that would really run
        self.commanded(*words)

    def settings(self, draw):
        """A settings file, or a setting, that was changed."""
        kind = draw.randrange(4)
        file = self.folder / "settings.toml"
        if kind == 0:
            file.write_bytes(mutated(SWEEP.encode(), draw.random()))
            expected(read_sweep, file)
        elif kind == 1:
            file.write_bytes(mutated(CONFIG.encode(), draw.random()))
            expected(lambda: RunConfig.build(**run_values(file, {}, [], {})))
        elif kind == 2:
            file.write_text(_shape(draw, draw.choice((CONFIG, SWEEP))))
            expected(read_sweep, file)
            expected(lambda: RunConfig.build(**run_values(file, {}, [], {})))
        else:
            text = (
                draw.choice(STRANGE) + draw.choice(("", "=", ".", "=[", "={a=", "=1")) + draw.choice(STRANGE)
            )
            expected(lambda: RunConfig.build(ticker="TSLA", settings=settings_of([text])))

    def price_files(self, draw):
        """A file of prices that was changed, read as an import reads it."""
        name = draw.choice(list(self.prices))
        file = self.folder / f"changed-{name}"
        file.write_bytes(mutated(self.prices[name], draw.random()))
        if name == "prices.json" and draw.random() < 0.5:
            raw = json.loads(self.prices[name])
            paths = list(places(raw))
            file.write_text(json.dumps(replaced(raw, draw.choice(paths), draw.choice(EACH_KIND))))
        if name == "prices.csv" and draw.random() < 0.5:
            file.write_text(_with_cell(draw, self.prices[name].decode()))
        expected(_read, file)

    def tables(self, draw):
        """Parquet files of a run, a memory and the store."""
        name = draw.choice(("inputs.parquet", "memory.parquet", "store"))
        if name == "store":
            which = draw.choice(list(self.stored))
            file = self.home / "data" / "FZZ" / which
            change = changed_table if which.endswith("parquet") and draw.random() < 0.7 else mutated
            content = change(self.stored[which], draw.random())
            if which == "provenance.json" and draw.random() < 0.7:
                raw = json.loads(self.stored[which])
                content = json.dumps(
                    replaced(raw, draw.choice(list(places(raw))), draw.choice(EACH_KIND))
                ).encode()
            file.write_bytes(content)
            try:
                expected(Store().read, "FZZ")
                expected(Store().list)
            finally:
                file.write_bytes(self.stored[which])
            return
        whole = self.whole[name] if name in self.whole else (self.folder / name).read_bytes()
        file = self.folder / f"changed-{name}"
        file.write_bytes((changed_table if draw.random() < 0.7 else mutated)(whole, draw.random()))
        expected(read_inputs if name == "inputs.parquet" else read_snapshot, file)

    def caches(self, draw):
        """An exported cache that is imported, and the database of one."""
        if draw.random() < 0.5:
            file = self.folder / "changed.jsonl"
            file.write_bytes(self._changed_lines(draw, self.cache.read_bytes()))
            with ReplyCache(self.folder / "import.db") as cache:
                expected(cache.import_, file)
                expected(cache.export, self.folder / "again.jsonl")
            return
        file = self.folder / "changed.db"
        for old in self.folder.glob("changed.db*"):
            old.unlink()
        file.write_bytes(self.database)
        if draw.random() < 0.6:
            changed_database(file, draw.random())
        else:
            file.write_bytes(mutated(self.database, draw.random()))

        def used():
            with ReplyCache(file) as cache:
                cache.stats()
                cache.get("0" * 64)
                cache.export(self.folder / "again.jsonl")

        expected(used)

    def records(self, draw):
        """A run folder with one file changed, and a registry with one line."""
        if draw.random() < 0.1:
            self.registry.write_bytes(self._changed_lines(draw, self.lines))
            try:
                self.commanded("trials", "list")
            finally:
                self.registry.write_bytes(self.lines)
            return
        name = draw.choice(
            (
                "run.json",
                "run.json",
                "run.json",
                "journal.db",
                "journal.db",
                "journal.db",
                "metrics.json",
                "audit.json",
                "rescore.json",
            )
        )
        for file, content in self.whole.items():
            (self.run / file).write_bytes(content)
        for rest in self.run.glob("journal.db-*"):
            rest.unlink()
        changed = mutated(self.whole[name], draw.random())
        if name.endswith(".json") and draw.random() < 0.7:
            raw = json.loads(self.whole[name])
            path = draw.choice(list(places(raw)))
            made = without(raw, path) if draw.random() < 0.2 else replaced(raw, path, draw.choice(EACH_KIND))
            changed = json.dumps(made).encode()
        if name == "journal.db" and draw.random() < 0.75:
            changed_database(self.run / name, draw.random())
        else:
            (self.run / name).write_bytes(changed)
        commands = ("compare", "memory show", "report", "replay", "run --resume", "report --json", "rescore")
        self.commanded(*draw.choice(commands).split(), self.run)

    def _changed_lines(self, draw, whole):
        if draw.random() < 0.5:
            return mutated(whole, draw.random())
        lines = whole.decode().split("\n")
        at = draw.randrange(max(1, len(lines) - 1))
        raw = json.loads(lines[at])
        path = draw.choice(list(places(raw)))
        lines[at] = json.dumps(
            without(raw, path) if draw.random() < 0.2 else replaced(raw, path, draw.choice(EACH_KIND))
        )
        return "\n".join(lines).encode()

    def commanded(self, *words):
        """A command ends with an exit code of the design's, and at most one message."""
        code, _, err = self.command(*words)
        assert code in CODES, (words, code, err[-600:])
        assert err.count("error: ") <= 1, (words, err)

    def knock(self, door, seed):
        """Change what comes in by a door as this seed has it; a failure names both."""
        try:
            getattr(self, door)(random.Random(f"{door} {seed}"))
        except BaseException as wrong:
            wrong.add_note(f"door {door}, seed {seed}")
            raise


DOORS = ("arguments", "settings", "price_files", "tables", "caches", "records")


def expected(call, *given):
    """A right result or a VarveError."""
    try:
        return call(*given)
    except VarveError:
        return None


def _read(file):
    return read_checked(source_of_file(file), Request("FZZ", path=file))


def _prices():
    days = [date(2023, 1, 3), *(date(2023, 1, day) for day in (4, 5, 6, 9, 10, 11, 12, 13, 17, 18, 19, 20))]
    rows = [[day, 100 + i, 102 + i, 99 + i, 101 + i, 1_000_000 + i] for i, day in enumerate(days)]
    text = io.StringIO()
    csv.writer(text).writerows([["Date", "Open", "High", "Low", "Close", "Volume"], *rows])
    return text.getvalue()


def _investorbench():
    rows = list(csv.reader(_prices().splitlines()))[1:]
    return json.dumps(
        {row[0]: {"prices": float(row[4]), "news": ["It rises."], "10k": [], "10q": []} for row in rows}
    ).encode()


def _table():
    import pandas as pd

    buffer = io.BytesIO()
    pd.read_csv(io.StringIO(_prices())).to_parquet(buffer)
    return buffer.getvalue()


def _with_cell(draw, text):
    rows = list(csv.reader(text.splitlines()))
    row = draw.randrange(len(rows))
    rows[row][draw.randrange(len(rows[row]))] = draw.choice(
        (*STRANGE, "1e308", "5e-324", "0", "inf", "1,5", "$3")
    )
    made = io.StringIO()
    csv.writer(made).writerows([[one.encode("utf-8", "replace").decode() for one in cells] for cells in rows])
    return made.getvalue()


def _shape(draw, text):
    """A TOML file with one line of another shape."""
    lines = text.strip().split("\n")
    name = draw.choice(
        ("agent", "ticker", "seed", "start", "settings", "vary", "run", "group", "settings.memory", "llm")
    )
    value = draw.choice((
        "1", "[]", "[[]]", "{}", "1979-05-27T07:32:00Z", "07:32:00", "nan", "-inf", "''", "[{}]", "true",
        "1e400",
        "[" * 2000 + "]" * 2000, "'" + "x" * 100_000 + "'", "{a = {b = {c = 1}}}", "[1, 'a', {}]",
    ))  # fmt: skip
    new = draw.choice(
        (f"{name} = {value}", f"[{name}]", f"[[{name}]]", f"{'a.' * 10_000}b = 1", f"{name}.x = {value}")
    )
    lines.insert(draw.randrange(len(lines) + 1), new)
    if draw.random() < 0.3:
        del lines[draw.randrange(len(lines))]
    return "\n".join(lines)
