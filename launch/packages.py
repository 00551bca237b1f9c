"""nsys from the packages of Debian or Ubuntu: where they are and how they become a folder with bin/nsys.

The packages are unpacked, not installed, so that the dependencies of the graphical profiler stay away.
"""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.errors import StudyError

NAMES = ("nsight-systems", "nsight-systems-target")
# Releases whose nsys is recent enough; it runs on older and newer ones, as it brings its libraries along.
RELEASES = {"debian": ("trixie", "non-free"), "ubuntu": ("noble", "multiverse")}
# What nsys and its importer load from the system, and the package that has it.
LIBRARIES = {"libelf.so.1": "libelf1", "libssh.so.4": "libssh-4", "libpfm.so.4": "libpfm4"}
BY_HAND = (
    "install the Nsight Systems command line from NVIDIA's download page 'Nsight Systems - Get Started', "
    "then put its nsys on PATH or name it: NSYS=/path/to/nsys"
)
QUIET = ("-qq", "-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2")
SOURCES = ("sources.list.d/debian.sources", "sources.list.d/ubuntu.sources", "sources.list")


@dataclass(frozen=True, kw_only=True)
class Source:
    """The part of an apt mirror that holds nsys's packages."""

    mirror: str
    suite: str
    component: str
    keyring: str

    def stanza(self) -> str:
        """The text of an apt `.sources` file for this part alone."""
        return (
            f"Types: deb\nURIs: {self.mirror}\nSuites: {self.suite}\n"
            f"Components: {self.component}\nSigned-By: {self.keyring}\n"
        )


def find_source(os_release: Mapping[str, str], sources: Sequence[str]) -> Source:
    """Choose the part for this distribution, on the mirror that its own apt `sources` (texts) name.

    Raises StudyError for systems other than Debian and Ubuntu.
    """
    system = os_release.get("ID", "unknown")
    if system not in RELEASES:
        raise StudyError(f"nsys comes from the packages of Debian and Ubuntu, and this system is {system}: {BY_HAND}")
    keyring = f"/usr/share/keyrings/{system}-archive-keyring.gpg"
    mirror = find_mirror(sources)
    if mirror is None:
        raise StudyError(f"apt's sources name no mirror to take nsys from: {BY_HAND}")
    suite, component = RELEASES[system]
    return Source(mirror=mirror, suite=suite, component=component, keyring=keyring)


def find_mirror(sources: Sequence[str]) -> str | None:
    """The first mirror of binary packages in apt sources of either format, other than security updates."""
    lines = [line.strip() for text in sources for line in text.splitlines() if not line.lstrip().startswith("#")]
    words = [line.split() for line in lines if line.startswith(("URIs:", "deb "))]
    addresses = [word for row in words for word in row[1:] if "://" in word or word.startswith("mirror+")]
    return next((one for one in addresses if "security" not in one and not one.startswith("cdrom:")), None)


def parse_os_release(text: str) -> dict[str, str]:
    """The assignments of /etc/os-release, unquoted."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def apt(work: Path, *, sources: Path | None = None) -> list[str]:
    """An apt-get that keeps its lists and cache in `work`, so that it needs neither root nor apt's lock.

    It reads the machine's own sources, or only the folder `sources`.
    """
    argv = ["apt-get", *QUIET, "-o", f"Dir::State::Lists={work}/lists", "-o", f"Dir::Cache={work}/cache"]
    if sources is not None:
        argv += ["-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={sources}"]
    return argv


def install_libraries(names: Sequence[str]) -> list[str]:
    """The apt-get arguments that install packages; another apt at work is waited for."""
    return ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *names]


def missing_libraries() -> tuple[str, ...]:
    """The packages of those libraries that this machine cannot load."""
    return tuple(package for library, package in LIBRARIES.items() if not _loads(library))


def this_source() -> Source:
    """The source for this machine. Raises StudyError where there is none."""
    release = Path("/etc/os-release")
    files = [Path("/etc/apt") / name for name in SOURCES]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return find_source(parse_os_release(release.read_text(encoding="utf-8") if release.is_file() else ""), texts)


def fetch(source: Source, folder: Path) -> None:
    """Make `folder`, whole or not at all, with bin/nsys in it. Raises StudyError when a step fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".nsys-") as name:
        work = Path(name)
        for part in ("lists/partial", "cache/archives/partial", "sources", "debs"):
            (work / part).mkdir(parents=True)
        _ensure_libraries(work)
        (work / "sources" / "nsys.sources").write_text(source.stanza(), encoding="utf-8")
        own = apt(work, sources=work / "sources")
        _run([*own, "update"], cwd=work)
        _run([*own, "download", *NAMES], cwd=work / "debs")
        for deb in sorted((work / "debs").glob("*.deb")):
            _run(["dpkg", "-x", str(deb), str(work / "unpacked")], cwd=work)
        _arrange(work / "unpacked", work / "nsys")
        # nsys itself starts without its importer's libraries, and then writes no report.
        for program in (work / "nsys" / "bin" / "nsys", *(work / "nsys").glob("host-linux-*/QdstrmImporter")):
            _run([str(program), "--version"], cwd=work)
        (work / "nsys").rename(folder)


def _ensure_libraries(work: Path) -> None:
    missing = missing_libraries()
    if not missing:
        return
    if os.geteuid() != 0:
        raise StudyError(f"nsys needs libraries that only root can add, as root: apt-get install {' '.join(missing)}")
    _run([*apt(work), "update"], cwd=work)
    _run([*apt(work), *install_libraries(missing)], cwd=work)


def _arrange(unpacked: Path, folder: Path) -> None:
    """Keep nsys and the importer that it looks for beside itself; the rest of the packages goes."""
    nsys = next(unpacked.glob("usr/lib/**/target-linux-*/nsys"), None)
    host = next(unpacked.glob("usr/lib/**/host-linux-*"), None)
    if nsys is None or host is None:
        raise StudyError(f"{' and '.join(NAMES)} hold no command-line nsys where it was expected: {BY_HAND}")
    (folder / "bin").mkdir(parents=True)
    # Some packages link one of the folders under a second name; the folder itself is what moves.
    target = nsys.parent.resolve().rename(folder / nsys.parent.name)
    host = host.resolve().rename(folder / host.name)
    (folder / "bin" / "nsys").symlink_to(Path("..") / target.name / "nsys")
    _mend_links(host, Path("/usr/lib"))


def _mend_links(host: Path, system: Path) -> None:
    """Lead links that left the packages' tree, and so lead nowhere now, to the system's library of that name."""
    for link in [path for path in host.iterdir() if path.is_symlink() and not path.exists()]:
        name = link.readlink().name
        if library := next(system.glob(f"*/{name}"), None):
            link.unlink()
            link.symlink_to(library)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _run(argv: Sequence[str], *, cwd: Path) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise StudyError(f"nsys is installed with {argv[0]}, which is not on this machine: {BY_HAND}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing said"]
        raise StudyError(f"installing nsys: {Path(argv[0]).name} failed with exit code {done.returncode}: {said[-1]}")
