"""Records with one field replaced by a value of each kind that JSON has, and bytes with one place changed."""

import copy
import random

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
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
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
