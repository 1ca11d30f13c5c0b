"""Each field of a record replaced by each kind of value that JSON has, and left out."""

import json

import pytest

from tests.strangers.doors import expected
from tests.support.mutations import EACH_KIND, places, replaced, without
from varve.backtests.record.cards import AuditCard, RescoreCard
from varve.backtests.record.folder import RunFolder
from varve.backtests.results.metrics_file import read_metrics
from varve.market.store import Store

SHOWING = (["compare"], ["memory", "show"], ["report"], ["rescore"], ["replay"], ["run", "--resume"])


def changed(whole):
    """Every place with every kind of value, and without it."""
    for path in places(whole):
        yield path, without(whole, path)
        for value in EACH_KIND:
            yield path, replaced(whole, path, value)


READ = {
    "run.json": lambda folder: folder.read(),
    "metrics.json": read_metrics,
    "audit.json": lambda folder: AuditCard.read(
        json.loads((folder.path / "audit.json").read_text()), "audit.json", mend="x"
    ),
    "rescore.json": lambda folder: RescoreCard.read(
        json.loads((folder.path / "rescore.json").read_text()), "rescore.json", mend="x"
    ),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", READ)
def test_each_field_of_a_file_of_a_run(strangers, name):
    folder, whole = RunFolder(strangers.run), json.loads(strangers.whole[name])
    number = 0
    for number, (_, made) in enumerate(changed(whole)):
        (folder.path / name).write_text(json.dumps(made))
        expected(READ[name], folder)
        if number % 61 == 0:
            strangers.commanded(*SHOWING[number // 61 % len(SHOWING)], folder.path)
            (folder.path / name).write_text(json.dumps(whole))
    assert number > 100


@pytest.mark.timeout(600)
def test_each_field_of_what_the_store_keeps(strangers):
    file = strangers.home / "data" / "FZZ" / "provenance.json"
    for number, (_, made) in enumerate(changed(json.loads(strangers.stored["provenance.json"]))):
        file.write_text(json.dumps(made))
        (entry,) = Store().list()
        assert entry.ticker == "FZZ"
        expected(Store().read, "FZZ")
        if number % 20 == 0:
            strangers.commanded("data", "list")
            strangers.commanded("data", "show", "FZZ")


@pytest.mark.timeout(600)
def test_each_field_of_a_line_of_the_trial_registry(strangers):
    lines = strangers.lines.decode().splitlines()
    for number, (_, made) in enumerate(changed(json.loads(lines[0]))):
        if number % 7 == 0:
            strangers.registry.write_text("\n".join([json.dumps(made), *lines[1:]]) + "\n")
            strangers.commanded("trials", "list")


@pytest.mark.timeout(600)
def test_each_column_of_the_journal(strangers):
    """A journal whose rows hold other kinds of values, with another schema, or programs in it."""
    import random

    from tests.support.mutations import changed_database

    for seed in range(40):
        for name, content in strangers.whole.items():
            (strangers.run / name).write_bytes(content)
        changed_database(strangers.run / "journal.db", f"journal {seed}")
        strangers.commanded(*random.Random(seed).choice(SHOWING), strangers.run)
