"""python -m study.sweep: plan a study, run it here or replay the recorded one, and write its report."""

import shlex
import signal
import sys
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis.errors import TraceError
from launch import host
from launch.engines import ENGINES
from launch.process import STOP_SIGNALS
from study import commands, gpus, live, models, plan_view, replay
from study.command_line import refused
from study.commands import Tools
from study.errors import StudyError
from study.gpus import Gpu
from study.options import Options, parse
from study.plan import Plan, plan, waves
from study.progress import Progress
from study.record import StudyFolder
from study.spec import Case

if TYPE_CHECKING:
    from study.runner import Runner

PLAIN: dict[str, Any] = {"markup": False, "highlight": False}
OK, SOME_FAILED, INTERRUPTED = 0, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0; 1 for a user's error; 3 if a case failed; 130 if interrupted."""
    for number in STOP_SIGNALS:
        # A shell's background job starts with SIGINT ignored, and nohup with SIGHUP: only the latter is a wish.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return _sweep(parse(sys.argv[1:] if argv is None else argv), Console())
    except (StudyError, TraceError) as error:
        return refused(error)
    except OSError as error:
        return refused(f"cannot write the study ({error}): make room, or name another --out")
    except KeyboardInterrupt:
        print("interrupted: finished cases are kept; the same command resumes", file=sys.stderr)
        return INTERRUPTED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _sweep(options: Options, console: Console) -> int:
    tools = live.tools(options.spec, options.nsys)
    if options.dry_run:
        return _dry_run(options, tools, console)
    missing = () if options.replay else live.missing(options.spec, tools)
    if options.live and missing:
        raise StudyError(f"--live cannot run here: {'; '.join(missing)}")
    if missing:
        console.print(f"Replaying the recorded study: {'; '.join(missing)}", soft_wrap=True, **PLAIN)
    if options.replay or missing:
        return _replay(options, missing, console)
    return _run(options, tools, console)


def _dry_run(options: Options, tools: Tools, console: Console) -> int:
    absent = live.absent(options.spec, options.nsys)
    if absent and not options.spec.gpu:
        raise StudyError(f"{'; '.join(absent)} (a plan for another host, by --gpu, takes it all the same)")
    for problem in absent:
        print(f"warning: {problem}", file=sys.stderr)
    folder = StudyFolder(options.spec.out)
    try:
        folder.expect_same(options.spec.as_json())
    except StudyError as error:
        print(f"warning: a run would be refused: {error}", file=sys.stderr)
    gpu, count = _gpu(options)
    planned = plan(options.spec, gpu, count, tools.versions)
    _doubts(tools, console)
    lines = partial(_shell_lines, tools=tools, folder=folder)
    plan_view.render(planned, lines, counted=_counted(options, count))
    return OK


def _counted(options: Options, count: int) -> str:
    """Where the number of GPUs of a plan comes from, where nobody named it for the GPU that is planned for."""
    here = len(host.gpus())
    if options.spec.gpu_count or (here and not options.spec.gpu):
        return ""
    why = f"as many as this host has: {count}" if here else "1, for this host has none"
    return f"GPUs planned for: {why}; --gpu-count N plans for N"


def _replay(options: Options, missing: Sequence[str], console: Console) -> int:
    given = {flag.partition("=")[0] for flag in options.argv if flag.startswith("--")}
    notice = ""
    if ignored := sorted(given - {"--replay", "--out", "--language"}):
        notice = f"A replay shows what was recorded; without effect: {', '.join(ignored)}"
        console.print(notice, soft_wrap=True, **PLAIN)
    try:
        code = replay.run(console, options.spec.out if "--out" in given else None, options.language)
    except KeyboardInterrupt:
        print("interrupted: no report was written; the same command begins again", file=sys.stderr)
        return INTERRUPTED
    if notice:
        why = f" ({'; '.join(missing)})" if missing else ""
        console.print(f"{notice}{why}", soft_wrap=True, **PLAIN)  # again, for a report's text is long
    return code


def _run(options: Options, tools: Tools, console: Console) -> int:
    live.check_checkpoint(options.spec)
    gpu, count = _gpu(options, must_be_here=True)
    planned = plan(options.spec, gpu, count, tools.versions)
    _doubts(tools, console)
    for skip in planned.skips:
        label = f"skipped {skip.model} {skip.engine} {skip.layout.label} graphs {skip.graphs}: {skip.reason}"
        console.print(label, soft_wrap=True, **PLAIN)
    if not planned.cases:
        raise StudyError(f"nothing to run: all {len(planned.skips)} combinations are skipped, for the reasons above")
    if options.report:
        replay.check_report()
    folder = StudyFolder(options.spec.out)
    folder.open(options.spec.as_json(), _details(planned, gpu, count, options.argv))
    todo = [case for case in planned.cases if _to_run(folder.outcome(case), options.retry_failed)]
    counts = f"{len(planned.cases)} cases, {len(todo)} to run, {len(planned.skips)} skipped; into {folder.root}"
    console.print(counts, soft_wrap=True, **PLAIN)
    with Progress(console, total=len(todo)) as progress, _runner(folder, tools, todo, progress) as runner:
        for wave in waves(todo, count, parallel_starts=options.spec.parallel_starts):
            runner.run(wave, together=options.spec.measure_together)
        runner.settle()
    folder.close()
    outcomes = {case.name: folder.outcome(case) for case in planned.cases}
    bad = [f"{name} {outcome}" for name, outcome in outcomes.items() if outcome != "ok"]
    if options.report:
        replay.write_report([folder.root], folder.report, console, options.language)
    if bad:
        print(f"{len(bad)} of {len(outcomes)} cases are not ok: {', '.join(bad)}", file=sys.stderr)
    return SOME_FAILED if bad else OK


def _doubts(tools: Tools, console: Console) -> None:
    for engine, version in tools.versions.items():
        if doubt := ENGINES[engine].VERSIONS.doubt(version):
            console.print(f"{doubt}; the cases say whether it did as asked", soft_wrap=True, **PLAIN)


def _runner(folder: StudyFolder, tools: Tools, cases: Sequence[Case], progress: Progress) -> "Runner":
    # Only here: it reads traces, and what it takes for that is not loaded in a moment, as a dry run should be.
    from study.runner import Runner  # noqa: PLC0415

    return Runner(
        folder=folder,
        tools=tools,
        models={case.model: models.load(case.model) for case in cases},
        host=partial(live.facts, tools=tools),
        packages=partial(live.packages, tools=tools),
        progress=progress,
        gpus=[gpu.index for gpu in host.gpus()],
    )


def _to_run(outcome: str | None, retry_failed: bool) -> bool:
    return outcome is None or (retry_failed and outcome != "ok")


def _gpu(options: Options, must_be_here: bool = False) -> tuple[Gpu, int]:
    """The GPU planned for, and how many: as named, or this host's."""
    here = host.gpus()
    named = gpus.find(options.spec.gpu) if options.spec.gpu else None
    found = gpus.on_host(here[0].name, here[0].memory_gib * 1024) if here else None
    gpu = named or found
    if gpu is None:
        raise StudyError("no GPU here to plan for: name one, such as --gpu rtx4090 --gpu-count 8")
    if must_be_here and named and found and named.key != found.key:
        raise StudyError(
            f"--gpu {named.key} was asked, but this host has {here[0].name}: leave --gpu out, or --dry-run"
        )
    count = options.spec.gpu_count or len(here) or 1
    if must_be_here and count > len(here):
        raise StudyError(f"--gpu-count {count} was asked, but this host has {len(here)}: lower it, or use --dry-run")
    return gpu, count


def _details(planned: Plan, gpu: Gpu, count: int, argv: Sequence[str]) -> dict[str, object]:
    skips = [
        {
            "engine": skip.engine,
            "model": skip.model,
            "tp": skip.tp,
            "layout": skip.layout.label,
            "graphs": skip.graphs,
            "compile": skip.compile,
            "settings": skip.settings,
            "reason": skip.reason,
        }
        for skip in planned.skips
    ]
    return {
        "plan": {"cases": [case.name for case in planned.cases], "skips": skips},
        "gpu": {"key": gpu.key, "source": gpu.source},
        "gpu_count": count,
        "argv": ["python", "-m", "study.sweep", *argv],
    }


def _shell_lines(case: Case, *, tools: Tools, folder: StudyFolder) -> tuple[str, ...]:
    place = folder.case(case)
    model = models.load(case.model)
    command = commands.run(case, tools=tools, model=model, folder=place, gpus=range(case.layout.gpus), go=None)
    exports = commands.exports(case, tools=tools, folder=place)
    return (shlex.join(["mkdir", "-p", str(place)]), command.shell(), *(shlex.join(argv) for _, _, argv in exports))


if __name__ == "__main__":
    sys.exit(main())
