"""Price files through the command: right values of whole runs, and mends that work as they are printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from varve.market.store import Store

RUNS = {
    # file: options of the import, window, what the return (in percent) and the output are
    "tiingo": ([], ("2023-03-01", "2023-03-31"), 1.0, ""),
    "yfdiv": ([], ("2023-03-01", "2023-03-31"), 4.9, ""),
    # 900 shares: 99 % of the cash at the close of 110, filled at the open of 100.
    "invest": ([], ("2023-03-01", "2023-03-31"), 8.9, ""),
    "rawsplit": ([], ("2023-03-01", "2023-03-31"), -74.1, "a split that no event marks: 2023-03-15"),
    "brka": ([], ("2023-03-01", "2023-03-31"), 0.0, "made no order: it is less than one lot"),
    "illiquid": ([], ("2023-03-01", "2023-03-31"), 0.4, "were still to be ordered at the end"),
    "weekly": (["--frequency", "weekly"], ("2022-06-07", "2023-06-27"), None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_a_run_on_each_file_has_the_right_value(
    backtest, shared_data: Path, varve_home: Path, name: str
) -> None:
    options, (start, end), expected, said = RUNS[name]
    file = shared_data / "market_files" / f"{name}.csv"
    code, out, err = backtest("data", "import", file, "--ticker", "X1", *options)
    assert code == 0, err
    if name == "rawsplit":
        assert said in out
    code, out, err = backtest(
        "run", "--agent", "buy-and-hold", "--ticker", "X1", "--start", start, "--end", end
    )
    assert code == 0, err
    assert said in re.sub(r"\s+", " ", out)
    [run] = (varve_home / "runs").glob("2*")
    figures = json.loads((run / "metrics.json").read_text())
    column = figures["columns"][0]["metrics"]
    if expected is not None:
        assert 100 * column["total_return"] == pytest.approx(expected, abs=0.1)
    else:
        assert column["sharpe"] == pytest.approx(2.4, abs=0.1)
    if said:
        assert said in re.sub(r"\s+", " ", (run / "report.html").read_text())


def commands(mend: str) -> list[list[str]]:
    """The commands that a refusal prints, as a shell would split them."""
    found = re.findall(r"backtest data import .*?(?=; |$| or backtest)", mend, re.MULTILINE)
    return [shlex.split(one)[1:] for one in found]


ROWS = "".join(
    f"{day:%Y-%m-%d},{100 + n},{103 + n},{99 + n},{101 + n},1000\n"
    for n, day in enumerate(pd.bdate_range("2023-01-03", periods=9))
)
OHLCV = "Open,High,Low,Close,Volume"
REFUSED = {
    "no header": (ROWS, []),
    "no header, MT4": (re.sub("(?m)^(....-..-..)", r"\1,00:00", ROWS), []),
    "no header, two columns": (re.sub("(?m)^(....-..-..),([^,]*),.*", r"\1,\2", ROWS), []),
    "another language": ("Datum,Open,High,Low,Schlusskurs,Volume\n" + ROWS, []),
    "adjusted close alone": ("Date,Open,High,Low,Adj Close,Volume\n" + ROWS, []),
    "settlement": ("Date,Open,High,Low,Settle,Volume\n" + ROWS, []),
    "a typing error": ("Date,Open,High,Low,Closs,Volume\n" + ROWS, []),
    "a name with a space and a quote": ("Date,Open,High,Low,The 'close' €,Volume\n" + ROWS, []),
    "two closes": ("Date,1a. close (USD),1b. close (CNY)\n2023-01-03,1,7\n2023-01-04,1,7\n", []),
    "mapped to another field": (f"Date,{OHLCV}\n{ROWS}", ["--column", "close=Low"]),
    "day or month": ("Date,Close\n01/03/2023,1\n02/03/2023,2\n03/03/2023,3\n", ["--calendar", "24/7"]),
    "day or month of currencies": ("Date,Close\n02/01/2023,1\n03/01/2023,2\n05/01/2023,3\n", []),
    "comma": ("Date;Close\n2023-01-03;101,500\n2023-01-04;102,750\n", []),
    "sign": ("Date,Close\n2023-01-03,¥101\n2023-01-04,¥102\n", []),
    "several": ("Symbol,Date,Close\nAAPL,2023-01-03,1\nGOOG,2023-01-03,2\n", []),
    "yfinance, several": (",Close,Close\n,AAPL,GOOG\nDate,,\n2023-01-03,1,101\n", []),
    "currencies": (f"Date,{OHLCV}\n" + ROWS.replace("2023-01-03", "2023-01-02"), []),
    "every day": ("Date,Close\n2023-01-06,1\n2023-01-07,1\n2023-01-08,1\n", []),
    "split on no known basis": ("Date,Close,Stock Splits\n2023-01-03,200,0\n2023-01-04,100,4\n", []),
    "payments on no known basis": (
        "Date,Close,Dividends\n2023-01-03,200.1234,0\n2023-01-04,199.8761,0.1\n2023-01-05,199.1239,0\n", []
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_each_mend_of_a_refusal_works_as_it_is_printed(
    backtest, tmp_path: Path, varve_home, kind: str
) -> None:
    text, options = REFUSED[kind]
    folder = tmp_path / "with a space"
    folder.mkdir()
    file = folder / "it's.csv"
    file.write_text(text)
    code, _, err = backtest("data", "import", file, "--ticker", "X1", *options)
    assert code in (2, 3), kind
    assert not Store().tickers()
    proposed = commands(err)
    assert proposed, err
    for command in proposed:
        code, out, err = backtest(*command)
        assert code == 0, (command, err)
        assert "stored" in out
        ticker = command[command.index("--ticker") + 1]
        stored = Store().read(ticker).bars
        if "High" in text:
            assert bool((stored.close <= stored.high).all() or (stored.high != stored.high).all())
            assert stored.close[0] == 101
        Store().remove(ticker)


def test_options_are_written_whole_into_a_mend(backtest, tmp_path: Path, varve_home) -> None:
    file = tmp_path / "p.csv"
    file.write_text("Datum,Schluss\n2023-01-03,1\n2023-01-04,2\n")
    given = ["--currency", "EUR", "--lot-size", "0.00012345678", "--calendar", "XETR", "--adjustment", "raw"]
    _, _, err = backtest("data", "import", file, "--ticker", "X1", *given)
    [command] = commands(err)
    assert backtest(*command)[0] == 0
    stored = Store().read("X1")
    assert (stored.instrument.currency, stored.instrument.lot_size) == ("EUR", 0.00012345678)
    assert (stored.instrument.calendar, stored.provenance.adjustment) == ("XETR", "raw")


def test_options_mean_nothing_for_other_files(backtest, tmp_path: Path, varve_home) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"2023-01-03": {"prices": 1}}')
    code, _, err = backtest("data", "import", file, "--ticker", "X1", "--lot-size", "0", "--decimal", ",")
    assert (code, "--lot-size and --decimal mean nothing" in err) == (2, True)
