"""What a run shows in the terminal: first line, progress bar, table, one sentence, the report's path."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.run_record import RepliesEntry
from varve.backtests.results.cautions import begin_cautions, headline, record_cautions
from varve.backtests.results.metrics_file import RunMetrics, read_metrics
from varve.backtests.simulate.rule_search import tuning_sentence
from varve.backtests.simulate.starting_memory import memory_sentences
from varve.cli.cache import saved_usd
from varve.cli.options import Output
from varve.cli.screen import BarText, Screen, say, say_json
from varve.errors import ModelTransportError, StorageError
from varve.finllm.chat.model_cards import knowledge_warning

if TYPE_CHECKING:
    from varve.backtests.integrity.replay import Replayed
    from varve.backtests.record.step import StepRecord
    from varve.backtests.simulate.prepare import Prepared


ALL_COLUMNS_WIDTH = 92


class RunProgress:
    """A progress bar with date, position, equity and failures; prints to standard error."""

    def __init__(self) -> None:
        self._console = Screen(stderr=True)
        self._failures = 0
        self._folder: RunFolder | None = None
        self._llm = ""
        self._progress = Progress(
            BarText("{task.fields[phase]:<8}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            BarText("{task.fields[state]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("run", total=None, phase="opening", state="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        resumable = isinstance(error, ModelTransportError | StorageError | KeyboardInterrupt)
        if resumable and self._folder is not None:
            self._console.print(f"go on with it: {_resume(self._folder.run_id, self._llm)}", soft_wrap=True)

    def on_start(self, prepared: Prepared, folder: RunFolder) -> None:
        """Say what is run and on what data, before the first step."""
        style = "bold yellow" if prepared.data.provenance.synthetic else "bold"
        self._console.print(
            headline(prepared.config, prepared.label, asks=prepared.model is not None), style=style
        )
        for caution in begin_cautions(prepared):
            self._console.print(caution, style="bold red")
        self._console.print(f"run {folder.run_id}", style="dim")
        self._folder, self._llm = folder, prepared.config.llm
        self._progress.update(self._task, total=prepared.total_steps)

    def on_recorded(self, recorded: int, total: int) -> None:
        """Say what a run that goes on has kept, and what is made (again)."""
        self._console.print(
            f"the journal holds {recorded:,} of {total:,} steps; the other {total - recorded:,} are made now"
            if recorded
            else f"the journal holds no step: all {total:,} are made now, from the start",
            style="dim" if recorded else "bold yellow",
        )

    def on_step(self, record: StepRecord, done: int, total: int) -> None:
        """Move the bar by one step."""
        self._failures += record.decision.failure is not None
        position = record.portfolio.position(record.instrument)
        state = f"{record.session}  {position:+g}  {record.portfolio.equity:,.0f} {record.portfolio.currency}"
        if self._failures:
            state += f"  {self._failures} failed"
        phase = "warm-up" if record.phase == "warmup" else "trading"
        self._progress.update(self._task, completed=done, phase=phase, state=state)


def print_result(folder: RunFolder, output: Output) -> None:
    """Print a derived run's results to standard output."""
    if output is Output.QUIET:
        say(folder.report)
        return
    metrics = read_metrics(folder)
    if output is Output.JSON:
        say_json(metrics.as_json())
        return
    _print_table(folder, metrics)


def _print_table(folder: RunFolder, metrics: RunMetrics) -> None:
    from varve.backtests.report.metric_rows import table_rows
    from varve.backtests.results.trial_count import trials_sentence

    console = Screen()
    run = folder.read()
    console.print(
        headline(run.config, run.data_label, asks=run.model is not None),
        style="bold yellow" if run.synthetic else "bold",
    )
    for caution in [*record_cautions(run), *metrics.cautions]:
        console.print(caution, style="bold red")
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    # A narrow terminal shows the agent beside buy-and-hold; the report has every column.
    columns = len(metrics.columns) if console.width >= ALL_COLUMNS_WIDTH else 2
    header, rows = table_rows(metrics, columns=columns)
    table.add_column(header[0], no_wrap=True)
    for name in header[1:]:
        table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if left_out := [column.name for column in metrics.columns[columns:]]:
        console.print(
            f"not shown in {console.width} columns: {', '.join(left_out)}; the report has them", style="dim"
        )
    if metrics.luck is not None:
        console.print(metrics.luck.sentence)
    console.print(metrics.sentence, style="italic")
    if tuned := tuning_sentence(run):
        console.print(tuned)
    tried = trials_sentence(run.trials)
    if tried:
        console.print(tried)
    began_with, warnings = memory_sentences(run)
    if began_with:
        console.print(began_with)
    stamp = knowledge_warning(None if run.knowledge is None else run.knowledge.as_json())
    for warning in [*warnings, *([stamp] if stamp else [])]:
        console.print(warning, style="bold red")
    if run.replies is not None and run.replies.cached:
        console.print(_cached_line(run.replies))
    console.print(f"report: {folder.report}", soft_wrap=True)


def _cached_line(replies: RepliesEntry) -> str:
    tokens = replies.cached_input_tokens + replies.cached_output_tokens
    line = f"{replies.cached:,} of {replies.calls:,} replies from the cache: {tokens:,} tokens saved"
    money = saved_usd(replies.cached_input_tokens, replies.cached_output_tokens)
    return line if money is None else f"{line}, {money:,.2f} USD"


def offer_unfinished(config: RunConfig) -> None:
    """Say on standard error that a run of these settings was stopped and can go on."""
    from varve.backtests.resume import unfinished_run

    folder = unfinished_run(config)
    if folder is not None:
        console = Screen(stderr=True)
        console.print(
            f"a run of these settings was stopped; go on with it: {_resume(folder.run_id, config.llm)}",
            soft_wrap=True,
        )


def _resume(run_id: str, llm: str) -> str:
    """The command that goes on with a run; it names the server again, or the key would not go there."""
    from varve.finllm.served import leads_away

    return f"backtest run --resume {run_id}" + (f" --llm {llm}" if leads_away(llm) else "")


def print_replayed(folder: RunFolder, replayed: Replayed, output: Output) -> None:
    """Say what a replay found."""
    if output is Output.JSON:
        say_json({"run_id": folder.run_id, **replayed._asdict()})
        return
    say(f"{replayed.steps} steps of {folder.run_id} are equal to their replay")
    if replayed.digest is None:
        say("the run was never finished, so it has no run digest")
    else:
        say(f"run digest {replayed.digest}, the same")
