"""A report shows the pairs of traces that prove what they say, in a page that runs its own scripts and no others."""

import gzip
import json
import os
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import evidence, timeline, timeline_figure
from analysis.gathered import Gathered
from analysis.recordings import open_study
from analysis.timeline import Block, Pair
from tests import traces
from tests.analysis.studies import write_case, write_study

TEMPLATES = Path(timeline.__file__).parent / "templates"


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small traces are read sooner than a second process starts."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def _found(folder: Path) -> tuple[list[evidence.Job], list[evidence.Evidence]]:
    jobs = evidence.jobs(open_study(write_study(folder)), "made")
    return jobs, [evidence.examine(job) for job in jobs]


def _labels(folder: Path) -> list[str]:
    return [str(pair.label) for pair in timeline.chosen(*_found(folder), {"made": "RECORDED"})]


def test_both_halves_of_a_configuration_are_a_pair_that_says_where_it_comes_from(tmp_path: Path) -> None:
    for graphs in ("off", "on"):
        write_case(tmp_path, graphs=graphs, traced_graphs=graphs)
    (pair,) = timeline.chosen(*_found(tmp_path), {"made": "RECORDED 2026-11-21"})
    assert (pair.label, pair.mark) == ("vLLM, llama3-8b, TP1, batch 1", "RECORDED 2026-11-21")
    assert ["graphs-off" in str(pair.off), "graphs-on" in str(pair.on)] == [True, True]


def test_what_the_sweep_made_comes_first(tmp_path: Path) -> None:
    for engine, made_by in (("sglang", "a probe"), ("vllm", "study.sweep")):
        for graphs in ("off", "on"):
            write_case(tmp_path, engine=engine, graphs=graphs, traced_graphs=graphs, made_by=made_by)
    assert [label.partition(",")[0] for label in _labels(tmp_path)] == ["vLLM", "SGLang"]


def test_small_batches_come_before_large_ones_and_what_was_served(tmp_path: Path) -> None:
    for batch in (0, 8, 1):
        for graphs in ("off", "on"):
            write_case(tmp_path, graphs=graphs, traced_graphs=graphs, batch=batch, repeat=batch + 1)
    assert [label.rpartition(", ")[2] for label in _labels(tmp_path)] == ["batch 1", "batch 8", "served"]


def test_every_engine_at_every_tp_comes_once_before_any_twice_those_of_the_question_first(tmp_path: Path) -> None:
    wanted = (("hf", 1, 1, ""), ("sglang", 1, 1, ""), ("vllm", 1, 8, ""), ("vllm", 1, 1, ""), ("vllm", 8, 1, "a probe"),
              ("vllm", 2, 1, ""))  # fmt: skip
    for repeat, (engine, tp, batch, probe) in enumerate(wanted, 1):
        for graphs in ("off", "on"):
            write_case(tmp_path, engine=engine, tp=tp, batch=batch, graphs=graphs, traced_graphs=graphs, repeat=repeat,
                       made_by=probe or "study.sweep")  # fmt: skip
    assert [label.replace(", llama3-8b", "") for label in _labels(tmp_path)] == [
        "vLLM, TP1, batch 1", "vLLM, TP2, batch 1", "SGLang, TP1, batch 1", "vLLM, TP8, batch 1",
        "HF transformers, TP1, batch 1", "vLLM, TP1, batch 8",
    ]  # fmt: skip


def test_the_timeline_of_the_recordings_begins_with_each_engine_at_each_tp(gathered: Gathered) -> None:
    jobs = [job for name, study in gathered.studies for job in evidence.jobs(study, name)]
    marks = {source.name: "" for source in gathered.sources}
    labels = [str(pair.label).split(", ") for pair in timeline.chosen(jobs, gathered.evidence, marks)]
    assert [f"{label[0]} {label[2]}" for label in labels[:9]] == [
        "vLLM TP1", "vLLM TP2", "vLLM TP4", "SGLang TP1", "SGLang TP2", "SGLang TP4", "vLLM TP8", "SGLang TP8",
        "HF transformers TP1",
    ]  # fmt: skip
    assert {label[3] for label in labels[:9]} == {"batch 1"}


def test_a_half_that_belies_its_label_makes_no_pair(tmp_path: Path) -> None:
    for graphs in ("off", "on"):
        write_case(tmp_path, graphs=graphs, traced_graphs="on")
    assert _labels(tmp_path) == []
    assert timeline.page(timeline.chosen(*_found(tmp_path), {"made": ""})) is None


def test_a_half_alone_makes_no_pair(tmp_path: Path) -> None:
    write_case(tmp_path, graphs="on", traced_graphs="on")
    assert _labels(tmp_path) == []


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    off = traces.decode(steps=12).write(folder / "off.sqlite")
    on = traces.decode(steps=12, graphs=True).write(folder / "on.sqlite")
    return Pair(label="one </script><script>alert(1)</script>", mark="MADE", off=off, on=on)


def _data(block: Block) -> Any:
    found = re.search(r'id="timeline-pairs">(.*?)</script>', block.html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_no_label_ends_the_element_that_it_stands_in(pair: Pair) -> None:
    block = timeline.page([pair])
    assert block is not None
    assert _data(block)["pairs"][0]["label"]["en"] == pair.label
    assert block.html.count("<script") == block.html.count("</script") == 4
    assert not [script for script in block.scripts if "</script" in script]


def test_the_library_is_packed_in_the_html_and_named_for_the_policy(pair: Pair) -> None:
    block = timeline.page([pair])
    assert block is not None
    found = re.search(r'<script type="application/gzip" id="timeline-library">([^<]*)</script>', block.html)
    assert found is not None
    text = gzip.decompress(b64decode(found[1])).decode()
    assert block.loaded == (text,) and "Bokeh" in text and text not in block.scripts


def test_what_would_make_the_page_too_large_is_named_and_left_out(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = timeline.page([pair])
    assert whole is not None
    size = len(_data(whole)["pairs"][0]["data"])
    monkeypatch.setattr(timeline, "MOST_BYTES", size)
    block = timeline.page([pair, replace(pair, label="another")])
    assert block is not None
    found = _data(block)
    assert [one["label"]["en"] for one in found["pairs"]] == [pair.label]
    assert [one["en"] for one in found["left_out"]] == ["another"]


def test_a_page_of_nothing_that_can_be_read_is_none(pair: Pair) -> None:
    assert timeline.page([replace(pair, on=pair.on.with_name("absent.sqlite"))]) is None


def test_every_layer_has_a_source_of_its_name_in_both_halves() -> None:
    text = json.dumps(timeline_figure.document())
    for half in timeline_figure.HALVES:
        for layer in (*timeline_figure.LAYERS, "boundary", "links", "link", "number"):
            assert f'"{half}:{layer}:data"' in text


def test_both_languages_say_the_same_things_with_the_same_fields() -> None:
    messages = json.loads((TEMPLATES / "timeline.messages.json").read_text())
    assert list(messages["en"]) == list(messages["zh"])
    fields = {name: sorted(re.findall(r"\{(\w+)\}", text)) for name, text in messages["en"].items()}
    assert fields == {name: sorted(re.findall(r"\{(\w+)\}", text)) for name, text in messages["zh"].items()}
    told = [name for name in messages["en"] if messages["en"][name] == messages["zh"][name]]
    assert set(told) == {"gpu", "gpuShort", "host", "hostShort", "op-attention"}


def test_every_message_asked_for_by_name_is_there_and_none_is_idle() -> None:
    messages = json.loads((TEMPLATES / "timeline.messages.json").read_text())["en"]
    text = "".join((TEMPLATES / name).read_text() for name in (*timeline._SCRIPTS, "timeline.html"))
    asked = set(re.findall(r"say\(\"([\w-]+)\"", text)) | set(re.findall(r"data-(?:message|do)=\"(\w+)\"", text))
    assert asked <= messages.keys()
    made = re.compile(r"^(op|call|idle)-|^(waiting|beyond|gpu|host|gpuShort|hostShort|off|on)$")
    assert {
        name for name in messages if name not in asked and not made.match(name) and f'"{name}"' not in text
    } == set()


def test_what_was_begun_before_is_what_the_page_shows(pair: Pair) -> None:
    block = timeline.page([pair, replace(pair, label="another")], None, iter([None, "told elsewhere"]))
    assert block is not None
    assert [(one["label"]["en"], one["data"]) for one in _data(block)["pairs"]] == [("another", "told elsewhere")]


def test_what_comes_after_the_first_without_room_is_not_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline.os, "cpu_count", lambda: 1)
    read: list[Path] = []
    original = timeline.timeline_data.pair
    monkeypatch.setattr(timeline.timeline_data, "pair", lambda off, on: read.append(off) or original(off, on))
    monkeypatch.setattr(timeline, "MOST_BYTES", len(original(pair.off, pair.on)))
    block = timeline.page([pair, *(replace(pair, label=name) for name in ("second", "third", "fourth"))])
    assert block is not None
    assert [one["en"] for one in _data(block)["left_out"]] == ["second", "third", "fourth"]
    assert len(read) == 2
