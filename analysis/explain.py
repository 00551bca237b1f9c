"""Why an iteration takes as long as it does, and what would help by how much; every figure is computed.

What was measured in the trace (`traced`) and what is foretold of runs without a profiler (`PREDICTED`) stand apart.
"""

from collections.abc import Mapping
from typing import Any

from analysis import account, claims, hosts, parallel, predict, replay, transfer
from analysis.account import Account, rounded
from analysis.calibrations import Calibration
from analysis.estimates import Estimate, within
from analysis.iterations import Trace
from analysis.names import short
from analysis.predict import Model
from analysis.replay import Graph
from analysis.typical import Typical
from analysis.words import interval

# One rank that arrives last so often holds the others up for a reason of its own.
_FIXED = 0.8
_FEWER, _FASTER = 0.9, 0.5
_PARTS = {
    "waiting_for_launches": ("launch_idle",),
    "gaps_in_graphs": ("graph_gap",),
    "other_gaps": ("other_gap",),
    "work": ("compute", "collective"),
}


def explain(trace: Trace, name: str, calibration: Calibration | None = None) -> dict[str, Any]:
    """The account of a case, ready for JSON: what predict.predict gives, and

    traced.shares   of the iteration along the critical path over ranks: waiting_for_launches, gaps_in_graphs,
                    other_gaps, work, which add up; and spinning, the share of the same time that the mean rank waits
                    in collectives
    traced.straggler   rank, share_ratio of the collectives at which it arrives last, and whether it is always that one
    traced.host     of the rank whose host takes longest: launches, and us of an iteration in launch calls, other CUDA
                    calls, waiting, and framework; its slowest places
    untraced_ms     PREDICTED: the iteration as it is
    launch_us       PREDICTED: host time for each launch; breakeven_us: below which the GPUs would hide it
    would_help      PREDICTED: what, iteration_ms and saved_ms, largest first, and whether it is claimed
    """
    found, accounts = predict.facts(trace), account.find(trace)
    foretold = predict.predict(trace, name, calibration)
    model = predict.recorded()
    base = _as_it_is(found, model, calibration)
    foretold["traced"] |= {
        "shares": _shares(accounts),
        "straggler": _straggler(accounts),
        "host": _host(trace, accounts, found.slowest),
    }
    host = predict.host_ms(found, model, calibration)
    return foretold | {
        "untraced_ms": base.to_json(),
        "launch_us": host.scaled(1e3 / found.launches).to_json(),
        "breakeven_us": within(transfer.breakeven_us(found), model.on_error).to_json(),
        "would_help": _would_help(found, model, calibration, base),
    }


def _as_it_is(found: Typical, model: Model, calibration: Calibration | None) -> Estimate:
    if found.graphs:
        return within(_graph_us(found, model) / 1e3, model.on_error)
    return predict.graphs_off_ms(found, predict.host_ms(found, model, calibration), model)


def _graph_us(found: Typical, model: Model) -> float:
    return replay.iteration_us(replay.with_host(found, model.host_ratio), graph=Graph(gap_us=model.gap_us))


def _would_help(found: Typical, model: Model, calibration: Calibration | None, base: Estimate) -> list[dict[str, Any]]:
    """Each change alone, by what it makes of the iteration; what a trace cannot tell is left out."""
    changes: dict[str, Estimate] = {}
    claimed = claims.why_not(found.engine, found.experts) is None
    if not found.graphs:
        host = predict.host_ms(found, model, calibration)
        changes["CUDA graphs"] = predict.graphs_on_ms(found, model)
        changes["a tenth fewer launches"] = predict.graphs_off_ms(found, host.scaled(_FEWER), model)
        changes["a host thread twice as fast"] = predict.graphs_off_ms(found, host.scaled(_FASTER), model)
    for words, other in _elsewhere(found).items():
        changes[words] = _as_it_is(other, model, calibration)
    rows = [
        {"change": words, "iteration_ms": ms.to_json(), "saved_ms": round(base.value - ms.value, 6), "claimed": claimed}
        for words, ms in changes.items()
    ]
    return sorted(rows, key=lambda row: -row["saved_ms"])


def _elsewhere(found: Typical) -> dict[str, Typical]:
    """The iteration with a faster memory, and over half and twice as many GPUs."""
    tp = len(found.strands)
    others = {"memory twice as fast": replay.with_memory(found, 2)}
    for other in (tp // 2, tp * 2):
        if other == 1 or other in parallel.ALL_REDUCE_US:
            others[f"TP{other} in place of TP{tp}"] = parallel.with_tp(found, other)
    return others


def _shares(accounts: Account) -> dict[str, float | None]:
    parts = accounts.trace["critical_path_us"]
    wall_us = parts["wall"]
    if wall_us is None or wall_us <= 0:
        return dict.fromkeys((*_PARTS, "spinning"))
    shares = {word: rounded(sum(parts[part] for part in names) / wall_us) for word, names in _PARTS.items()}
    waits_ms = [rank["wait_ms"] or 0.0 for rank in accounts.ranks.values()]
    return shares | {"spinning": rounded(1e3 * sum(waits_ms) / len(waits_ms) / wall_us)}


def _straggler(accounts: Account) -> dict[str, Any] | None:
    ratios = {rank: values["straggler_ratio"] for rank, values in accounts.ranks.items()}
    known = {rank: ratio for rank, ratio in ratios.items() if ratio is not None}
    if len(known) < 2:
        return None
    rank = max(known, key=lambda one: known[one])
    return {"rank": rank, "share_ratio": known[rank], "always": known[rank] >= _FIXED}


def _host(trace: Trace, accounts: Account, rank: int) -> dict[str, Any]:
    rows = hosts.measure(trace)
    mine = rows[rows["rank"] == rank].median()
    names = ("launches", "launch_call_us", "other_call_us", "wait_us", "framework_us", "t_launch_us")
    return {"rank": rank, **{name: rounded(mine[name]) for name in names}, "slow_sites": accounts.trace["slow_sites"]}


def lines(found: Mapping[str, Any]) -> list[str]:
    """An explanation in words; lines with foretold numbers begin with PREDICTED."""
    traced, words = found["traced"], {"launch": "launch-bound", "gpu": "GPU-bound", "undecided": "undecided"}
    result = [
        f"{found['name']}: TP{found['tp']}, graphs {found['graphs']}, {traced['iter_ms']:.3f} ms as traced",
        *_share_lines(traced["shares"], found["tp"]),
        f"  PREDICTED, untraced: {words[found['bound']]} without graphs, R = {interval(**found['ratio'])}; "
        f"iteration {interval(**found['untraced_ms'])} ms",
    ]
    result.append(
        f"  PREDICTED, without graphs: the host takes {interval(**found['launch_us'])} us a launch; "
        f"the GPUs hide up to {interval(**found['breakeven_us'])} us"
    )
    if straggler := traced["straggler"]:
        how = "always the same" if straggler["always"] else "they take turns"
        share = f"{straggler['share_ratio']:.0%}"
        result.append(f"  traced: rank {straggler['rank']} arrives last in {share} of collectives ({how})")
    result += _host_lines(traced["host"])
    for row in found["would_help"]:
        change = row["change"] if row["claimed"] else f"{row['change']} (not claimed)"
        result.append(f"  PREDICTED, {change}: {interval(**row['iteration_ms'])} ms, {_change(row['saved_ms'])}")
    return [*result, *claims.lines(found)] + [f"  unfit, doubt it: {doubt}" for doubt in found["doubts"]]


def _share_lines(shares: Mapping[str, float | None], tp: int) -> list[str]:
    """The parts of the critical path, which add up; spinning is another view of the same time and stands apart."""
    parts = [f"{share:.0%} {name.replace('_', ' ')}" for name in _PARTS if (share := shares[name]) is not None]
    result = [f"  traced: along the critical path over ranks: {', '.join(parts)}"] if parts else []
    if tp > 1 and (spinning := shares["spinning"]) is not None:
        result.append(
            f"  traced: within that time the mean rank spins {spinning:.0%} of the iteration, in collectives, until "
            "the last rank comes"
        )
    return result


def _host_lines(host: Mapping[str, Any]) -> list[str]:
    if host["launches"] is None:
        return []
    parts = {"launch calls": "launch_call_us", "other CUDA calls": "other_call_us", "waiting": "wait_us"}
    spent = ", ".join(f"{host[key] / 1e3:.2f} in {word}" for word, key in parts.items())
    result = [
        f"  traced: host of rank {host['rank']}: {host['launches']:.0f} launches of {host['t_launch_us']:.1f} us; ms: "
        f"{spent}, {host['framework_us'] / 1e3:.2f} in framework and Python between them"
    ]
    for site in host["slow_sites"][:2]:
        result.append(
            f"  traced: slow between {short(site['before'])} and {short(site['after'])}: {site['interval_us']:.0f} us, "
            f"{site['per_iteration']:.1f} times, {site['total_ms']:.2f} ms an iteration"
        )
    return result


def _change(saved_ms: float) -> str:
    return f"saves {saved_ms:.2f} ms" if saved_ms >= 0 else f"costs {-saved_ms:.2f} ms"
