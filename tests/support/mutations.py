"""Records with one field replaced by a value of each kind that JSON has, and bytes with one place changed."""

import copy
import json
import random
import sqlite3

EACH_KIND = (
    None,
    True,
    -1,
    10**30,
    1.5e300,
    "",
    "x",
    "=cmd|' /C calc'!A1",
    "\x1b[31m[/b]\u202e",
    [],
    [[]],
    [None],
    {},
    {"a": 1},
)
"""A value of each kind, and what is strange of each."""


def places(value, depth=5):
    """The path of every value inside a JSON value, at most so deep; of a list the first item alone."""
    if depth == 0:
        return
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, one in inner:
        yield (key,)
        for rest in places(one, depth - 1):
            yield (key, *rest)


def replaced(value, path, new):
    """A copy with another value in one place."""
    made = copy.deepcopy(value)
    there = made
    for key in path[:-1]:
        there = there[key]
    there[path[-1]] = new
    return made


def without(value, path):
    """A copy that lacks one place."""
    made = copy.deepcopy(value)
    there = made
    for key in path[:-1]:
        there = there[key]
    del there[path[-1]]
    return made


def mutated(content, seed):
    """Bytes with a few places changed, dropped, repeated or cut; the same for the same seed."""
    draw = random.Random(seed)
    made = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 6))):
        if not made:
            break
        at = draw.randrange(len(made))
        kind = draw.randrange(6)
        if kind == 0:
            made[at] = draw.randrange(256)
        elif kind == 1:
            made[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del made[at : at + draw.choice((1, 2, 16, 400))]
        elif kind == 3:
            part = made[at : at + draw.choice((1, 8, 64))]
            made[at:at] = part * draw.choice((1, 2, 30))
        elif kind == 4:
            made[at:at] = draw.choice(
                (b"\x00", b"\xff\xfe", b"[" * 3000, b'"', b"\r\n", b"{", b"-", b"9" * 500, b"\xe2\x80\xa8")
            )
        else:
            del made[at:]
    return bytes(made)


def changed_table(content, seed):
    """A Parquet file with one column of other values or another kind, or a field of its header changed."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = random.Random(seed)
    table = pq.read_table(io.BytesIO(content))
    told = {key: value for key, value in (table.schema.metadata or {}).items() if key != b"pandas"}
    if told and draw.random() < 0.5:
        key = draw.choice(list(told))
        raw = json.loads(told[key])
        path = draw.choice(list(places(raw)))
        made = without(raw, path) if draw.random() < 0.2 else replaced(raw, path, draw.choice(EACH_KIND))
        table = table.replace_schema_metadata({**told, key: json.dumps(made).encode()})
    else:
        at, rows = draw.randrange(table.num_columns), table.num_rows
        name, values = table.column_names[at], table.column(at).to_pylist()
        kind = draw.randrange(9)
        if kind == 0:
            table = table.remove_column(at)
        elif kind == 1 and rows:
            values[draw.randrange(rows)] = None
            table = table.set_column(at, name, pa.array(values, table.schema.field(at).type))
        elif kind == 2:
            table = table.append_column(name, table.column(at))
        elif kind == 3:
            table = table.slice(0, draw.choice((0, 1, rows // 2)))
        elif kind == 4:
            table = pa.concat_tables([table, table])
        else:
            strange = (
                pa.array([draw.choice(("", "x", "\x1b[2J", "=1", "1e400", "\u202e"))] * rows),
                pa.array([draw.choice((0, -1, 2**62, -(2**62)))] * rows),
                pa.array([draw.choice((float("nan"), float("inf"), -1.0, 1e308, 5e-324))] * rows),
                pa.array([[1]] * rows),
                pa.array([None] * rows),
            )[kind - 5 if kind - 5 < 4 else 4]
            table = table.set_column(at, name, strange)
    made = io.BytesIO()
    pq.write_table(table, made)
    return made.getvalue()


def changed_database(path, seed):
    """An SQLite file with a value of another kind in one place, a field in one changed, or another schema."""
    draw = random.Random(seed)
    db = sqlite3.connect(path, isolation_level=None)
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = draw.choice(tables)
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    column = draw.choice(columns)
    kind = draw.randrange(10)
    if kind == 0:
        db.execute(f"ALTER TABLE {table} RENAME TO other")
    elif kind == 1:
        db.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
    elif kind == 2:
        db.execute(f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END")
    elif kind == 3:
        db.execute(f"ALTER TABLE {table} RENAME TO other")
        db.execute(f"CREATE VIEW {table} AS SELECT * FROM other")
    elif kind == 4:
        db.execute(f"PRAGMA user_version = {draw.choice((0, 1, 99, -1))}")
    else:
        # Without STRICT and keys, a column takes what it is given.
        db.execute("CREATE TABLE loose AS SELECT * FROM " + table)
        db.execute(f"DROP TABLE {table}")
        db.execute(f"ALTER TABLE loose RENAME TO {table}")
        rows = db.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        if rows:
            rowid, value = draw.choice(rows)
            new = draw.choice(
                (None, 1, -1, 1.5, 2**62, "", "x", b"\xff\x00", "\x1b[2J", "[" * 5000, "{}", "[]", "null")
            )
            if kind > 6 and isinstance(value, str) and value[:1] in ("{", "["):
                raw = json.loads(value)
                found = list(places(raw, 7))
                if found:
                    new = json.dumps(replaced(raw, draw.choice(found), draw.choice(EACH_KIND)))
            db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, rowid))
    db.close()
