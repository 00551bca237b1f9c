"""A plan as text: every case with its command lines, every skip with its reason, and the totals."""

from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from study import models
from study.fit import fit
from study.plan import Plan, Skip
from study.spec import Case

# Wider than any table: output that is not a terminal must neither wrap nor be cut.
UNBOUNDED = 10_000


def render(
    plan: Plan, commands: Callable[[Case], Sequence[str]], console: Console | None = None, *, counted: str = ""
) -> None:
    """Print a plan. `commands` gives the shell-ready lines of a case, printed one a line and unwrapped.

    counted: where the number of GPUs comes from, if that needs saying.
    """
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=UNBOUNDED)
    console.print(f"Plan for {plan.gpu_count} x {plan.gpu.key} ({plan.gpu.source})", markup=False, highlight=False)
    if counted:
        console.print(counted, soft_wrap=True, markup=False, highlight=False)
    if plan.gpu.quirks:
        console.print(f"{plan.gpu.key}: {plan.gpu.quirks}", soft_wrap=True, markup=False, highlight=False)
    if plan.cases:
        console.print(_case_table(plan))
    for case in plan.cases:
        for line in (f"# {case.name}", *commands(case), ""):
            # Markup and emoji codes would change a command that has brackets or colons.
            console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)
    if plan.skips:
        console.print(_skip_table(plan))
    console.print(_total_table(plan))
    console.print(totals(plan), highlight=False)


def totals(plan: Plan) -> str:
    """One sentence: how many combinations run, in how many engine starts, and how many are skipped."""
    runnable = _runnable(plan)
    return (
        f"{len(runnable) + len(plan.skips)} combinations of engine, model, layout and switches: "
        f"{len(runnable)} run, as {len(plan.cases)} cases; {len(plan.skips)} skipped"
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", highlight=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _case_table(plan: Plan) -> Table:
    table = _table(
        "Cases, in order", "case", "GPUs", "batches", "tracing", "repeat", "KV room, tokens (estimate)", "all-reduce"
    )
    for case in plan.cases:
        room = fit(models.load(case.model), plan.gpu, case.layout).kv_tokens
        batches = ",".join(map(str, case.batches)) or "served"
        shared = plan.gpu.all_reduce(case.layout.tp)
        table.add_row(case.name, str(case.layout.gpus), batches, case.tracing, str(case.repeat), str(room), shared)
    return table


def _skip_table(plan: Plan) -> Table:
    table = _table("Skipped", "engine", "model", "layout", "graphs", "compile", "settings", "reason")
    for skip in plan.skips:
        table.add_row(skip.engine, skip.model, skip.layout.label, skip.graphs, skip.compile, skip.settings, skip.reason)
    return table


def _total_table(plan: Plan) -> Table:
    switches = ("engine", "graphs", "compile", "settings")
    table = _table("Combinations of model and layout", *switches, "run", "skipped", "all")
    run = Counter(side for side, _, _ in _runnable(plan))
    skipped = Counter(_side(skip) for skip in plan.skips)
    for side in sorted(run | skipped, reverse=True):
        table.add_row(*side, str(run[side]), str(skipped[side]), str(run[side] + skipped[side]))
    return table


def _runnable(plan: Plan) -> set[tuple[tuple[str, ...], str, str]]:
    return {(_side(case), case.model, case.layout.label) for case in plan.cases}


def _side(entry: Case | Skip) -> tuple[str, ...]:
    return entry.engine, entry.graphs, entry.compile, entry.settings
