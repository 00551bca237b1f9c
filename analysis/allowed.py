"""What a recording may contain: the allow-list of tables, columns and texts. What is not listed does not ship."""

import hashlib
import re
from dataclasses import dataclass

from analysis.api import ASKED
from analysis.extract import COPY, GRAPH, KERNEL, NVTX, RUNTIME, SET

_PLACE = ("start", "end", "deviceId", "contextId", "streamId", "correlationId", "globalPid", "graphNodeId")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A table of integers that a recording keeps: its columns, order of rows, and which columns are ids of texts."""

    table: str
    names: tuple[str, ...]
    order: tuple[str, ...]
    grouped_by: str | None = None
    texts: tuple[str, ...] = ()


KEPT = (
    Kept(
        table=KERNEL,
        names=(
            *(*_PLACE, "demangledName", "shortName", "launchType", "registersPerThread"),
            *("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ", "staticSharedMemory", "dynamicSharedMemory"),
        ),
        order=("globalPid", "deviceId", "start", "end"),
        grouped_by="demangledName",
        texts=("demangledName", "shortName"),
    ),
    Kept(
        table=COPY,
        names=(*_PLACE, "bytes", "copyKind", "srcKind", "dstKind", "srcDeviceId", "dstDeviceId"),
        order=("globalPid", "deviceId", "start", "end"),
        grouped_by="copyKind",
    ),
    Kept(table=SET, names=(*_PLACE, "bytes", "memKind"), order=("globalPid", "deviceId", "start", "end")),
    Kept(
        table=GRAPH,
        names=(*_PLACE[:-1], "graphId", "graphExecId"),
        order=("globalPid", "deviceId", "start", "end"),
    ),
    Kept(
        table=RUNTIME,
        names=("start", "end", "eventClass", "globalTid", "correlationId", "nameId", "returnValue", ASKED),
        order=("globalTid", "start", "end"),
        grouped_by="nameId",
        texts=("nameId",),
    ),
    Kept(
        table=NVTX,
        names=("start", "end", "eventType", "globalTid", "endGlobalTid", "textId", "domainId"),
        order=("globalTid", "start", "end"),
        texts=("textId",),
    ),
    Kept(
        table="PROFILER_OVERHEAD",
        names=("start", "end", "globalTid", "nameId", "returnValue"),
        order=("globalTid", "start", "end"),
        texts=("nameId",),
    ),
)
GPU = (
    *("id", "name", "uuid", "chipName", "smCount", "totalMemory", "memoryBandwidth", "clockRate"),
    *("computeMajor", "computeMinor"),
)
CUDA_DEVICE = ("gpuId", "cudaId", "pid", "uuid")
_EXPORT = re.compile(r"EXPORT_(PRODUCT_(NAME|VERSION)|SCHEMA_VERSION(_M[A-Z]+)?)$")
_PLAIN_VALUE = re.compile(r"[\w. -]{1,64}$")
# Marks, both sorts of ranges, and domains; not the names of threads.
NVTX_EVENT_TYPES = (34, 59, 60, 75)
# Tables that do not ship, but whose number of rows is stated.
STATED = (
    *("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", "CUPTI_ACTIVITY_KIND_CUDA_EVENT", "CUDA_GRAPH_NODE_EVENTS"),
    *("CUDA_GRAPH_EVENTS", "CUDA_GPU_MEMORY_USAGE_EVENTS", "OSRT_API", "SCHED_EVENTS", "COMPOSITE_EVENTS"),
    *("GPU_METRICS", "CUDA_CALLCHAINS", "ProcessStreams", "PROCESSES", "ThreadNames", "TARGET_INFO_SYSTEM_ENV"),
    *("TARGET_INFO_CUDA_STREAM", "TARGET_INFO_CUDA_CONTEXT_INFO", "DIAGNOSTIC_EVENT", "ANALYSIS_DETAILS"),
    *("ANALYSIS_FILE", "META_DATA_CAPTURE", "NVTX_PAYLOAD_SCHEMAS", "NVTX_PAYLOAD_SCHEMA_ENTRIES"),
    *("NVTX_PAYLOAD_ENUMS", "NVTX_PAYLOAD_ENUM_ENTRIES"),
)
# Compilers write the source file into some names, and programs write what they like into NVTX.
_PATH = re.compile(r"""(?<![^\s='"(\[,:;])(?:~?/|[A-Za-z]:\\)[\w.~-][^\s'")\],;]*|\w+://\S+|[\w.+-]+@[\w-]+\.\S+""")


def plain_export_setting(name: str | None, value: str | None) -> bool:
    """Whether a row of META_DATA_EXPORT says which nsys and which schema it was, and nothing else."""
    return bool(_EXPORT.match(name or "") and _PLAIN_VALUE.match(value or ""))


def hashed(uuid: str | None) -> str | None:
    """Tells GPUs apart without naming them."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:16] if uuid else None


def public(text: str) -> str:
    """The text up to a NUL byte (nsys hides whole environments behind one), with paths and addresses blanked."""
    return _PATH.sub("<left out>", text.split("\0", 1)[0])
