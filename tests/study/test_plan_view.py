"""What a dry run prints: complete, untouched and not cut."""

import io
from dataclasses import replace

from rich.console import Console

from study import config
from study.gpus import find
from study.plan import plan
from study.plan_view import render, totals

SPEC = replace(config.load(), models=("qwen2-7b", "qwen2-72b"), repeats=1, tracing=("off",))
PLAN = plan(SPEC, find("rtx4090"), 8)
LINE = (
    'env A=1 python -m thing --engine-args \'{"ids":[1,2],"face":":smile:"}\' [bold]x[/bold] ' + "long " * 100 + "end"
)


def printed(console: Console | None = None, made=PLAN) -> str:
    buffer = io.StringIO()
    console = console or Console(file=buffer, width=40)
    render(made, lambda case: (f"{LINE} {case.name}", "second"), console)
    return buffer.getvalue()


def test_command_lines_are_printed_as_they_are_one_a_line():
    lines = printed().splitlines()
    for case in PLAN.cases:
        at = lines.index(f"# {case.name}")
        assert lines[at + 1 : at + 4] == [f"{LINE} {case.name}", "second", ""]


def test_a_terminal_does_not_wrap_command_lines_either():
    buffer = io.StringIO()
    printed(Console(file=buffer, width=60, force_terminal=True, color_system=None))
    assert f"{LINE} {PLAN.cases[0].name}\n" in buffer.getvalue()


def test_every_case_and_every_skip_is_in_a_table_uncut():
    rows = [row for row in printed().splitlines() if row.startswith("│")]
    for case in PLAN.cases:
        assert sum(case.name in row for row in rows) == 1
    for skip in PLAN.skips:
        expected = [skip.engine, skip.model, skip.layout.label, skip.graphs, skip.compile, skip.settings, skip.reason]
        assert sum([cell.strip() for cell in row.strip("│").split("│")] == expected for row in rows) == 1
    assert "…" not in printed()


def test_the_counts_for_each_engine_and_graph_mode_and_their_sum_are_told():
    text = printed()
    rows = [[cell.strip() for cell in row.strip("│").split("│")] for row in text.splitlines()]
    assert ["vllm", "on", "engine", "pinned", "4", "4", "8"] in rows
    assert ["sglang", "off", "engine", "pinned", "4", "4", "8"] in rows
    assert text.endswith(totals(PLAN) + "\n")
    assert totals(PLAN).startswith("32 combinations of engine, model, layout and switches: 16 run,")


def test_a_plan_in_which_nothing_can_run_is_all_skips():
    made = plan(replace(SPEC, models=("qwen2-72b",), tp=(1,)), find("rtx4090"), 8)
    text = printed(made=made)
    assert "Cases, in order" not in text
    assert "4 combinations" in text
    assert "0 run" in text


def test_the_caller_s_console_is_left_as_it_was():
    console = Console(file=io.StringIO(), width=40)
    render(PLAN, lambda case: (), console)
    assert console.width == 40
