"""python -m study.sweep: plan a study, run it here or replay the recorded one, and write its report."""

import shlex
import signal
import sys
from collections.abc import Sequence
from functools import partial
from types import FrameType

from rich.console import Console

from analysis.errors import TraceError
from launch import host
from study import commands, gpus, live, models, plan_view, replay
from study.commands import Tools
from study.errors import StudyError
from study.gpus import Gpu
from study.options import Options, parse
from study.plan import Plan, plan, waves
from study.progress import Progress
from study.record import StudyFolder
from study.runner import Runner
from study.spec import Case

OK, WRONG, SOME_FAILED, INTERRUPTED = 0, 1, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0; 1 for a user's error; 3 if a case failed; 130 if interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _sweep(parse(sys.argv[1:] if argv is None else argv), Console())
    except (StudyError, TraceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("interrupted: finished cases are kept; the same command resumes", file=sys.stderr)
        return INTERRUPTED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _sweep(options: Options, console: Console) -> int:
    tools = live.tools(options.spec, options.nsys)
    if options.dry_run:
        gpu, count = _gpu(options)
        planned = plan(options.spec, gpu, count)
        plan_view.render(planned, partial(_shell_lines, tools=tools, folder=StudyFolder(options.spec.out)))
        return OK
    missing = () if options.replay else live.missing(options.spec, tools)
    if options.live and missing:
        raise StudyError(f"--live cannot run here: {'; '.join(missing)}")
    if missing:
        console.print(f"Replaying the recorded study: {'; '.join(missing)}", soft_wrap=True, highlight=False)
    if options.replay or missing:
        return replay.run(console)
    return _run(options, tools, console)


def _run(options: Options, tools: Tools, console: Console) -> int:
    live.check_checkpoint(options.spec)
    gpu, count = _gpu(options, must_be_here=True)
    planned = plan(options.spec, gpu, count)
    folder = StudyFolder(options.spec.out)
    folder.open(options.spec.as_json(), _details(planned, gpu, count, options.argv))
    todo = [case for case in planned.cases if _to_run(folder.outcome(case), options.retry_failed)]
    console.print(f"{len(planned.cases)} cases, {len(todo)} to run, {len(planned.skips)} skipped; into {folder.root}")
    with Progress(console, total=len(todo)) as progress, _runner(folder, tools, todo, progress) as runner:
        for wave in waves(todo, count, parallel_starts=options.spec.parallel_starts):
            runner.run(wave)
        runner.settle()
    outcomes = {case.name: folder.outcome(case) for case in planned.cases}
    bad = [f"{name} {outcome}" for name, outcome in outcomes.items() if outcome != "ok"]
    replay.write_report([folder.root], folder.report, console)
    if bad:
        print(f"{len(bad)} of {len(outcomes)} cases are not ok: {', '.join(bad)}", file=sys.stderr)
    return SOME_FAILED if bad else OK


def _runner(folder: StudyFolder, tools: Tools, cases: Sequence[Case], progress: Progress) -> Runner:
    return Runner(
        folder=folder,
        tools=tools,
        models={case.model: models.load(case.model) for case in cases},
        host=partial(live.facts, tools=tools),
        progress=progress,
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
        {"engine": skip.engine, "model": skip.model, "tp": skip.tp, "graphs": skip.graphs, "reason": skip.reason}
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
    command = commands.run(case, tools=tools, model=model, folder=place, gpus=range(case.tp), go=None)
    exports = commands.exports(case, tools=tools, folder=place)
    return (shlex.join(["mkdir", "-p", str(place)]), command.shell(), *(shlex.join(argv) for _, _, argv in exports))


if __name__ == "__main__":
    sys.exit(main())
