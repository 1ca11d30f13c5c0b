"""Just inside and just outside the ledger's tolerances: what is a whole lot, and what a split pays out."""

import pytest

from tests.envs.test_ledger import ledger
from varve.envs.ledger import from_lots, to_lots

both_signs = pytest.mark.parametrize("sign", [1, -1])


@both_signs
@pytest.mark.parametrize(
    ("quantity", "lots"),
    [
        (3 - 5e-10, 3),
        (3 - 2e-9, 2),
        (3 + 5e-10, 3),
        (3 + 2e-9, 3),
        (1e6 - 1.5e-9, 1_000_000),
        (1e6 - 3e-9, 999_999),
        (1e10 - 8e-6, 10**10),
        (1e10 - 1.4e-5, 10**10 - 1),
    ],
)
def test_a_lot_may_be_missed_by_a_billionth_and_by_a_float_s_own_error(sign, quantity, lots):
    assert to_lots(sign * quantity, 1.0) == sign * lots


@both_signs
def test_the_tolerance_is_a_part_of_a_lot_whatever_its_size(sign):
    for lot in (100.0, 0.1, 1e-4, 0.3):
        assert to_lots(sign * lot * (3 - 5e-10), lot) == sign * 3
        assert to_lots(sign * lot * (3 - 2e-9), lot) == sign * 2


def test_a_unit_is_exactly_one_where_lots_divide_it():
    for count in range(1, 2000):
        assert from_lots(count, 1 / count) == 1.0


def test_a_lot_that_nearly_divides_a_unit_does_not():
    assert from_lots(2, 0.9995) == 1.999
    assert to_lots(1.999, 0.9995) == 2
    assert from_lots(3, 7.0) == 21.0


@both_signs
@pytest.mark.parametrize(
    ("lot", "held", "beyond", "paid"),
    [
        (1.0, 3.0, 1.5e-9, False),
        (1.0, 3.0, 2.5e-9, True),
        (0.1, 0.3, 1.5e-10, False),
        (0.1, 0.3, 1e-9, True),
        (100.0, 300.0, 1.5e-7, False),
        (100.0, 300.0, 2.5e-7, True),
        (1.0, 1e10, 1.5e-5, False),
        (1.0, 1e10, 1e-3, True),
    ],
)
def test_a_split_pays_out_no_dust_and_every_fraction_that_is_more(sign, lot, held, beyond, paid):
    account = ledger(lot)
    account.positions["X"] = sign * held
    remainder = account.split("X", 1 + beyond / held)
    assert remainder == pytest.approx(sign * beyond if paid else 0.0, rel=0.2, abs=0)
    assert account.positions["X"] == sign * held + (remainder if paid else 0.0)
