"""The first difference of two JSON values: there is one exactly where their JSON texts differ."""

import json
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.backtests.record.differences import MISSING, Difference, first_difference, shown_both
from varve.config import canonical_json

plain = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    plain | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400)
@given(then=json_values, now=json_values)
def test_two_values_are_equal_if_and_only_if_there_is_no_first_difference(then, now):
    for one, other in ((then, now), (now, then), (then, deepcopy(then)), ([then], [then, now])):
        found = first_difference(one, other)
        assert (found is None) == (canonical_json(one) == canonical_json(other))
        if found:
            left, right = ([] if side is MISSING else [side] for side in (found.then, found.now))
            assert canonical_json(left) != canonical_json(right)


@given(value=json_values, extra=json_values, place=st.integers(0, 3))
def test_a_key_or_an_item_more_is_found_with_its_place_whatever_it_holds(value, extra, place):
    longer = [value] * place
    assert first_difference(longer, [*longer, extra]) == Difference(f"[{place}]", MISSING, extra)
    assert first_difference([*longer, extra], longer) == Difference(f"[{place}]", extra, MISSING)
    assert first_difference({"a": longer}, {"a": longer, "b": extra}) == Difference(".b", MISSING, extra)
    assert first_difference({"b": extra, "a": longer}, {"a": longer}) == Difference(".b", extra, MISSING)


@pytest.mark.parametrize(
    ("then", "now", "found"),
    [
        ({"a": None}, {}, (".a", None, MISSING)),
        ({}, {"a": None}, (".a", MISSING, None)),
        ([1], [1, None], ("[1]", MISSING, None)),
        ([None], [], ("[0]", None, MISSING)),
        ([], {}, ("", [], {})),
        (None, {}, ("", None, {})),
        (0, False, ("", 0, False)),
        ("nothing", None, ("", "nothing", None)),
    ],
)
def test_nothing_is_not_null_nor_false_nor_empty(then, now, found):
    assert first_difference(then, now) == found


def test_what_is_missing_is_told_from_what_is_null():
    found = first_difference({"a": None}, {})
    assert shown_both(found) == ("null", "nothing")
    assert shown_both(first_difference({"a": "nothing"}, {})) == ('"nothing"', "nothing")


def test_tuples_are_lists_as_in_json():
    assert first_difference((1, ("a",)), json.loads('[1, ["a"]]')) is None


@pytest.mark.parametrize("then", [float("nan"), [float("nan")], {"a": float("nan")}, float("inf")])
def test_what_json_has_no_number_for_is_refused(then):
    for one, other in ((then, then), (then, None), (None, then)):
        with pytest.raises(ValueError, match="not JSON compliant"):
            first_difference(one, other)
