"""The one helper of SQLite files: made, brought up, shared, and clear where it fails."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from varve.errors import IntegrityError, StorageError
from varve.sqlite import Kind, SqliteFile

ROOT = Path(__file__).parents[1]
FIRST = "CREATE TABLE one (n INTEGER PRIMARY KEY) STRICT"
SECOND = "CREATE TABLE two (n INTEGER) STRICT; INSERT INTO two SELECT n FROM one"


def kind(*migrations):
    return Kind("the sample file", migrations, "make room", "move it away", "use the newer version")


def test_a_file_of_an_older_schema_is_brought_up_and_keeps_what_it_holds(tmp_path):
    path = tmp_path / "deep" / "a.db"
    old = SqliteFile(path, kind(FIRST), make_folder=True)
    old.db.execute("INSERT INTO one VALUES (7)")
    old.close()
    new = SqliteFile(path, kind(FIRST, SECOND))
    assert new.db.execute("SELECT n FROM two").fetchall() == [(7,)]
    assert new.db.execute("PRAGMA user_version").fetchone() == (2,)
    assert new.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    new.close()
    with pytest.raises(IntegrityError, match=r"sample file .* has schema 2; this Varve reads up to 1"):
        SqliteFile(path, kind(FIRST))


def test_what_fails_within_a_transaction_leaves_nothing(tmp_path):
    file = SqliteFile(tmp_path / "a.db", kind(FIRST))

    def write(*values):
        with file.writing():
            for value in values:
                file.db.execute("INSERT INTO one VALUES (?)", [1 // value])

    with pytest.raises(ZeroDivisionError):
        write(1, 0)
    with pytest.raises(IntegrityError, match="is damaged: UNIQUE"):
        write(1, 1)
    assert file.db.execute("SELECT count(*) FROM one").fetchone() == (0,)
    file.close()
    file.close()


def test_each_way_to_fail_says_what_mends_it(tmp_path):
    (tmp_path / "text.db").write_text("not a database, and long enough to be looked at " * 30)
    with pytest.raises(IntegrityError, match="is damaged") as damaged:
        SqliteFile(tmp_path / "text.db", kind(FIRST))
    assert damaged.value.mend == "move it away"
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made") as nowhere:
        SqliteFile(tmp_path / "file" / "a.db", kind(FIRST), make_folder=True)
    assert nowhere.value.mend == "make room"
    with pytest.raises(StorageError, match="cannot be opened"):
        SqliteFile(tmp_path / "nowhere" / "a.db", kind(FIRST))
    with pytest.raises(StorageError, match="cannot be opened"):
        SqliteFile(tmp_path / "none.db", kind(FIRST), read_only=True)
    assert not (tmp_path / "none.db").exists()


def test_reading_leaves_no_file_behind_and_changes_nothing(tmp_path):
    path = tmp_path / "a.db"
    SqliteFile(path, kind(FIRST)).close()
    before = sorted(tmp_path.iterdir())
    file = SqliteFile(path, kind(FIRST, SECOND), read_only=True)
    assert file.db.execute("PRAGMA user_version").fetchone() == (1,)
    with pytest.raises(StorageError, match="cannot be written"), file.failing("written"):
        file.db.execute("INSERT INTO one VALUES (1)")
    file.close()
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_is_just_being_made_is_waited_for(tmp_path):
    # SQLite gives up at once where it cannot switch to write-ahead mode; whatever the time-out.
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE being_made (n)")
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    done.start()
    SqliteFile(tmp_path / "a.db", kind(FIRST)).close()
    done.join()
    other.close()


OPEN_MANY = """
import sys
import threading
from pathlib import Path
from tests.test_sqlite import FIRST, kind
from varve.sqlite import SqliteFile
for i in range(40):
    SqliteFile(Path(sys.argv[1]) / f"{i}.db", kind(FIRST)).close()
"""


def test_processes_that_make_one_file_at_the_same_moment_all_get_it(tmp_path):
    running = [subprocess.Popen([sys.executable, "-c", OPEN_MANY, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    for path in tmp_path.glob("*.db"):
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        db.close()
