"""What a person sees: a live line per running task, a line per verdict, a table at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trtbuild.graph.action import Outcome, Reason, ReasonKind, Task, Verdict
from trtbuild.graph.choose import not_passing
from trtbuild.graph.made import outdated_engines
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.recipe.model import Recipe
from trtbuild.report.summary import VariantSummary, in_order, summarise

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

COLOURS = {
    Verdict.UP_TO_DATE: "dim",
    Verdict.RESTORED: "cyan",
    Verdict.EXECUTED: "green",
    Verdict.SKIPPED: "yellow",
    Verdict.FAILED: "bold red",
}


class Quiet:
    """A listener that says nothing, for plans and JSON."""

    def started(self, recipe: Recipe, task: Task, reasons: tuple[Reason, ...]) -> None:
        """Nothing."""

    def progress(self, recipe: Recipe, task: Task, text: str, fraction: float | None) -> None:
        """Nothing."""

    def finished(self, recipe: Recipe, outcome: Outcome) -> None:
        """Nothing."""


@dataclass(slots=True)
class _Running:
    name: str
    since: float
    text: str = "starting"
    fraction: float | None = None


@dataclass(slots=True)
class Terminal:
    """A listener for a person. Rich is imported when the first task runs, not for a no-op."""

    verbose: bool = False
    _running: dict[str, _Running] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _live: Live | None = None
    _ran: bool = False

    def started(self, recipe: Recipe, task: Task, reasons: tuple[Reason, ...]) -> None:
        """Show a line for the task until it has its verdict."""
        name = f"{recipe.name} {task.id}"
        with self._lock:
            self._running[name] = _Running(name, time.monotonic())
            self._ran = True
            if sys.stdout.isatty():
                self._start_live()
            else:
                print(f"{name:<32} running    {reasons_text(reasons)}", flush=True)

    def progress(self, recipe: Recipe, task: Task, text: str, fraction: float | None) -> None:
        """Change the task's line; one that waits, or restores something large, gets its own."""
        name = f"{recipe.name} {task.id}"
        with self._lock:
            running = self._running.get(name)
            if running is None:
                running = self._running[name] = _Running(name, time.monotonic())
                if sys.stdout.isatty():
                    self._start_live()
                elif fraction is None:
                    print(f"{name:<32} waiting    {text}", flush=True)
            running.text, running.fraction = text, fraction

    def finished(self, recipe: Recipe, outcome: Outcome) -> None:
        """Print the verdict, unless there was nothing to do."""
        name = f"{recipe.name} {outcome.task.id}"
        with self._lock:
            self._running.pop(name, None)
            quiet = outcome.verdict is Verdict.SKIPPED and not self._ran  # the last line says it
            if self.verbose or not (quiet or outcome.verdict is Verdict.UP_TO_DATE):
                self._print(name, outcome)
            if not self._running:
                self.stop()

    def stop(self) -> None:
        """Take the live lines away; what was printed stays."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _start_live(self) -> None:
        if self._live is None:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._lines,
                refresh_per_second=8,
                transient=True,
                redirect_stderr=False,
            )
            self._live.start()

    def _lines(self) -> Text:
        from rich.text import Text

        with self._lock:
            lines = Text("\n", no_wrap=True, overflow="ellipsis")
            return lines.join(_live_line(running) for running in self._running.values())

    def _print(self, name: str, outcome: Outcome) -> None:
        took = f"{outcome.seconds:7.1f} s" if outcome.verdict is Verdict.EXECUTED else " " * 9
        text = reasons_text(outcome.reasons)
        line = f"{name:<32} {outcome.verdict:<10} {took}  {text}".rstrip()
        warnings = [f"{'':32} warning: {text}" for text in outcome.warnings]
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(line, style=COLOURS[outcome.verdict]), soft_wrap=True)
            for warning in warnings:
                self._live.console.print(Text(warning, style="yellow"), soft_wrap=True)
        else:
            print("\n".join((line, *warnings)), flush=True)


def reasons_text(reasons: Sequence[Reason], most: int = 3) -> str:
    """Reasons in one line."""
    texts = [reason.text for reason in reasons if reason.kind is not ReasonKind.ERROR]
    more = f" (and {len(texts) - most} more)" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def print_outcomes(rebuilders: Sequence[Rebuilder]) -> None:
    """After a run: errors in full, then a table, or one line where nothing was to be done."""
    for rebuilder in rebuilders:
        _print_errors(rebuilder)
    changed = [r for r in rebuilders if not _nothing_done(r)]
    for rebuilder in rebuilders:
        if rebuilder not in changed:
            print(_up_to_date_line(rebuilder))
    if changed:
        _print_table(changed)
    for rebuilder in rebuilders:
        for path in outdated_engines(rebuilder.workspace.root, rebuilder.recipe.precisions):
            print(
                f"{path}: of a precision that the recipe no longer has; trtbuild clean removes it"
            )
        _print_choice(rebuilder)
    if any(rebuilder.gates for rebuilder in rebuilders):
        from trtbuild.report.gates import print_gates

        for rebuilder in rebuilders:
            for task_id, judgements in rebuilder.gates.items():
                if rebuilder.outcomes[task_id].verdict in (Verdict.SKIPPED, Verdict.FAILED):
                    continue  # its line says so
                print_gates(f"{rebuilder.recipe.name} {task_id}", judgements)


def _print_choice(rebuilder: Rebuilder) -> None:
    """Which candidate is kept; where a run asked for some of them, which of these do not pass."""
    name = rebuilder.recipe.name
    if rebuilder.choice is not None:
        lead = "best is " if rebuilder.choice.variant else ""
        print(f"{name}: {lead}{rebuilder.choice.text}")
    for candidate in not_passing(rebuilder):
        print(f"{name}: {candidate.variant} does not pass: {candidate.why}", file=sys.stderr)


def print_plan(rebuilders: Sequence[Rebuilder]) -> None:
    """What a run would do, a line per task."""
    for rebuilder in rebuilders:
        print(f"{rebuilder.recipe.name} ({rebuilder.recipe.path} -> {rebuilder.workspace.root})")
        for task_id in rebuilder.tasks:
            if (outcome := rebuilder.outcomes.get(task_id)) is not None:
                verdict = f"{outcome.verdict}{'' if outcome.certain else '?'}"
                print(f"  {task_id:<20} {verdict:<12} {reasons_text(outcome.reasons, 9)}".rstrip())


def _live_line(running: _Running) -> Text:
    from rich.text import Text

    seconds = time.monotonic() - running.since
    done = "" if running.fraction is None else f"{running.fraction:5.0%} "
    line = f"   {seconds:7.1f} s  {done}{running.text}"
    return Text.assemble(f"{running.name:<32} ", ("running", "green"), line, overflow="ellipsis")


def _nothing_done(rebuilder: Rebuilder) -> bool:
    quiet = (Verdict.UP_TO_DATE, Verdict.SKIPPED)
    return all(outcome.verdict in quiet for outcome in in_order(rebuilder))


def _up_to_date_line(rebuilder: Rebuilder) -> str:
    outcomes = in_order(rebuilder)
    fresh = sum(outcome.verdict is Verdict.UP_TO_DATE for outcome in outcomes)
    skipped: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.verdict is Verdict.SKIPPED:
            text = reasons_text(outcome.reasons)
            skipped[text] = skipped.get(text, 0) + 1
    tasks = "task" if fresh == 1 else "tasks"
    more = "".join(f", {count} skipped ({text})" for text, count in skipped.items())
    return f"{rebuilder.recipe.name}: {fresh} {tasks} up to date{more}; {rebuilder.workspace.root}"


def _print_errors(rebuilder: Rebuilder) -> None:
    for outcome in in_order(rebuilder):
        if outcome.verdict is Verdict.FAILED:
            print(f"\n{rebuilder.recipe.name} {outcome.task.id} failed", file=sys.stderr)
            print(f"  {rebuilder.recipe.where(*outcome.task.where)}", file=sys.stderr)
            print("  " + outcome.error.replace("\n", "\n  "), file=sys.stderr)
            if outcome.log:
                print(f"  log: {outcome.log}", file=sys.stderr)
            sys.stderr.flush()


COLUMNS = (
    *("recipe", "variant", "verdict", "engine", "size", "verified", "metrics", "built in"),
    "benchmark",
)
SPARE = ("built in", "engine", "size", "metrics", "benchmark", "verified")
"""What goes first where the terminal is too narrow; all of it is in --json."""


def _print_table(rebuilders: Sequence[Rebuilder]) -> None:
    from rich.console import Console

    from trtbuild.report.fitting import fitting_table

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a log file has no width to keep to
    rows = [
        (_cells(rebuilder, summary), COLOURS[summary.verdict])
        for rebuilder in rebuilders
        for summary in summarise(rebuilder)
    ]
    console.print(fitting_table(console, COLUMNS, rows, SPARE))
    for rebuilder in rebuilders:
        verdicts = {outcome.verdict for outcome in in_order(rebuilder)}
        if Verdict.FAILED not in verdicts:
            print(f"{rebuilder.recipe.name}: everything is in {rebuilder.workspace.root}")
        elif verdicts - {Verdict.FAILED, Verdict.SKIPPED}:
            print(f"{rebuilder.recipe.name}: what could be made is in {rebuilder.workspace.root}")


def _cells(rebuilder: Rebuilder, summary: VariantSummary) -> tuple[str, ...]:
    if summary.latency_ms is not None:
        benchmark = f"{summary.latency_ms:.3f} ms"
    else:
        benchmark = summary.benchmark
    engine = summary.engine.relative_to(rebuilder.workspace.root) if summary.engine else ""
    return (
        rebuilder.recipe.name,
        summary.name,
        summary.verdict,
        str(engine),
        size_text(summary.engine_bytes) if summary.engine_bytes else "",
        summary.verified,
        ", ".join(f"{name} {value:.4g}" for name, value in summary.metrics),
        f"{summary.seconds:.1f} s",
        benchmark,
    )


def size_text(size: int) -> str:
    """A size in bytes for people: 4.45 MiB."""
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 999.5:  # three digits; 1023 of a unit are 0.999 of the next
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} GiB" if value < 999.5 else f"{value:.0f} GiB"
