"""A timeline in Perfetto's own format: the only place that knows its protobuf.

What a track is called, and which lies within which, Perfetto is told by descriptors; a span is a begin and an end on
its track. Names and texts are written once and referred to by number, which keeps the file small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackDescriptor, TrackEvent

from analysis.spans import FACTS, KINDS, TRACK_COLUMNS, Timeline

_SEQUENCE = 1
_TID_BITS = 0xFFFFFF
_TITLES = {"iterations": "decode iterations", "idle": "idle, by cause", "ranges": "NVTX"}


class _Numbers(dict[str, int]):
    """Texts with their numbers, from 1 on, in the order in which they are first asked for."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self) + 1
        return self[text]


def encode(timeline: Timeline) -> bytes:
    """The timeline as a Perfetto trace, which ui.perfetto.dev opens: 0 is where the timeline has it, times in ns."""
    names, categories, texts = _Numbers(), _Numbers(), _Numbers()
    uuid_of, described = _tracks(timeline)
    facts = {fact: number for number, fact in enumerate(FACTS, 1)}
    events = []
    told = timeline.spans.astype(object)
    known = told.where(told.notna(), None)
    for track, spans in known.groupby(list(TRACK_COLUMNS), sort=False):
        chunk = Trace()
        for row, opens in _in_order(spans.to_dict("records")):
            event = _event(chunk, uuid_of[track], row["start_ns"] if opens else row["end_ns"])
            event.type = TrackEvent.TYPE_SLICE_BEGIN if opens else TrackEvent.TYPE_SLICE_END
            if opens:
                event.name_iid, event.category_iids[:] = names[row["name"]], [categories[row["category"]]]
                _tell(event, row, facts, texts)
        events.append(chunk.SerializeToString())
    return b"".join([described, _words(names, categories, texts, facts), *events])


def _in_order(spans: list[dict[Any, Any]]) -> Iterator[tuple[dict[Any, Any], bool]]:
    """Each span as it opens (true) and as it closes, as they follow one another on one track."""
    open_spans: list[dict[Any, Any]] = []
    for span in spans:
        while open_spans and open_spans[-1]["end_ns"] <= span["start_ns"]:
            yield open_spans.pop(), False
        yield span, True
        open_spans.append(span)
    yield from ((span, False) for span in reversed(open_spans))


def _event(chunk: Trace, uuid: int, time_ns: int) -> TrackEvent:
    packet = chunk.packet.add()
    packet.timestamp, packet.trusted_packet_sequence_id = time_ns, _SEQUENCE
    packet.sequence_flags = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
    packet.track_event.track_uuid = uuid
    return packet.track_event


def _tell(event: TrackEvent, span: Mapping[Any, Any], facts: Mapping[str, int], texts: _Numbers) -> None:
    """Add what is known of a span, and the arrow that leaves or reaches it."""
    if span["call"] is not None:
        arrows = event.flow_ids if span["leads"] else event.terminating_flow_ids
        arrows.append(int(span["call"]) + 1)
    for fact, number in facts.items():
        value = span[fact]
        if isinstance(value, str):
            event.debug_annotations.add(name_iid=number, string_value_iid=texts[value])
        elif value is not None:
            event.debug_annotations.add(name_iid=number, int_value=value)


def _words(names: _Numbers, categories: _Numbers, texts: _Numbers, facts: Mapping[str, int]) -> bytes:
    """The packet that says which number is which text; it comes before all that refer to it."""
    chunk = Trace()
    packet = chunk.packet.add()
    packet.trusted_packet_sequence_id = _SEQUENCE
    packet.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    for kept, said in (
        (packet.interned_data.event_names, names),
        (packet.interned_data.event_categories, categories),
        (packet.interned_data.debug_annotation_names, facts),
    ):
        for text, number in said.items():
            kept.add(iid=number, name=text)
    for text, number in texts.items():
        packet.interned_data.debug_annotation_string_values.add(iid=number, str=text.encode())
    serialized: bytes = chunk.SerializeToString()
    return serialized


def _tracks(timeline: Timeline) -> tuple[dict[Any, int], bytes]:
    """The number of every track, and the descriptors of all of them and of the processes."""
    chunk = Trace()
    processes = timeline.processes.to_dict("records")
    process_uuid = {row["process"]: number for number, row in enumerate(processes, 1)}
    pids = {row["process"]: row["pid"] for row in processes}
    for row in processes:
        described = _descriptor(chunk, process_uuid[row["process"]])
        described.process.pid, described.process.process_name = row["pid"], row["name"]
        described.child_ordering = TrackDescriptor.EXPLICIT
    keys = list(timeline.spans[list(TRACK_COLUMNS)].drop_duplicates().itertuples(index=False, name=None))
    leading = set(timeline.spans.loc[timeline.spans["category"] == "call"].dropna(subset="call")["key"])
    uuid_of = {key: number for number, key in enumerate(keys, 1 + len(processes))}
    for key, uuid in uuid_of.items():
        process, kind, own, lane = key
        described = _descriptor(chunk, uuid)
        described.sibling_order_rank = 1000 * KINDS.index(kind) + lane
        described.parent_uuid = process_uuid[process]
        described.name = _TITLES.get(kind, f"stream {own}")
        tid = own & _TID_BITS
        if kind == "thread":
            described.name = f"{'launching thread' if own in leading else 'thread'} {tid}"
            if lane == 0:
                described.ClearField("name")
                described.thread.pid, described.thread.tid = pids[process], tid
                described.thread.thread_name = "launching thread" if own in leading else "thread"
        elif kind == "ranges":
            described.name = f"NVTX of thread {tid}"
    serialized: bytes = chunk.SerializeToString()
    return uuid_of, serialized


def _descriptor(chunk: Trace, uuid: int) -> TrackDescriptor:
    packet = chunk.packet.add()
    packet.trusted_packet_sequence_id = _SEQUENCE
    packet.track_descriptor.uuid = uuid
    return packet.track_descriptor
