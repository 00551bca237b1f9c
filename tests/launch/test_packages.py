"""Which apt source nsys comes from on which system, and that its packages arrive whole or not at all."""

from pathlib import Path

import pytest

from launch import packages
from study.errors import StudyError

DEB822 = """\
# Types: deb
# URIs: http://commented.example/debian
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
"""
ONE_LINE = """\
deb cdrom:[Debian 12]/ bookworm main
deb http://security.example/debian-security bookworm-security main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/some/key.gpg] https://mirror.example/ubuntu jammy main universe
"""


@pytest.mark.parametrize(
    ("texts", "mirror"),
    [
        pytest.param([DEB822], "http://mirror.example/debian", id="the first address of a .sources file"),
        pytest.param([ONE_LINE], "https://mirror.example/ubuntu", id="an old list: no disc, no security, no sources"),
        pytest.param(["", DEB822], "http://mirror.example/debian", id="an empty file before it"),
        pytest.param(["URIs: mirror+file:/etc/apt/mirrors/debian.list"], "mirror+file:/etc/apt/mirrors/debian.list",
                     id="a list of mirrors"),
        pytest.param(["# deb http://commented.example/debian x main"], None, id="nothing but comments"),
    ],
)  # fmt: skip
def test_the_mirror_is_the_machines_own(texts: list[str], mirror: str | None) -> None:
    assert packages.find_mirror(texts) == mirror


def test_debian_takes_nsys_from_trixies_non_free() -> None:
    source = packages.find_source({"ID": "debian", "VERSION_CODENAME": "bookworm"}, [DEB822])
    assert source.stanza().splitlines() == [
        "Types: deb",
        "URIs: http://mirror.example/debian",
        "Suites: trixie",
        "Components: non-free",
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
    ]


def test_ubuntu_takes_nsys_from_nobles_multiverse() -> None:
    source = packages.find_source({"ID": "ubuntu", "VERSION_CODENAME": "jammy"}, [ONE_LINE])
    assert (source.suite, source.component) == ("noble", "multiverse")
    assert source.keyring.endswith("ubuntu-archive-keyring.gpg")


@pytest.mark.parametrize("release", [{"ID": "fedora"}, {}], ids=["another distribution", "no os-release"])
def test_another_system_is_told_how_to_get_nsys(release: dict[str, str]) -> None:
    with pytest.raises(StudyError, match=r"Nsight Systems.*download page.*NSYS="):
        packages.find_source(release, [DEB822])


def test_apt_without_a_mirror_is_told_how_to_get_nsys() -> None:
    with pytest.raises(StudyError, match=r"no mirror.*download page"):
        packages.find_source({"ID": "debian"}, ["# nothing"])


def test_os_release_is_read_with_and_without_quotes() -> None:
    text = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n# ID=other\n\nVERSION_ID='12'\n"
    assert packages.parse_os_release(text) == {
        "PRETTY_NAME": "Debian GNU/Linux 12",
        "ID": "debian",
        "VERSION_ID": "12",
    }


def test_apt_keeps_its_lists_to_itself_and_reads_only_the_given_sources() -> None:
    argv = packages.apt(Path("w"), sources=Path("w/sources"))
    assert {"Dir::State::Lists=w/lists", "Dir::Cache=w/cache"} <= set(argv)
    assert {"Dir::Etc::SourceList=/dev/null", "Dir::Etc::SourceParts=w/sources"} <= set(argv)
    assert not any("SourceParts" in word for word in packages.apt(Path("w")))


def test_without_root_a_missing_library_names_roots_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LIBRARIES", {"libabsent.so.9": "libabsent9"})
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    with pytest.raises(StudyError, match="as root: apt-get install libabsent9"):
        packages.fetch(_unreachable(tmp_path), tmp_path / "nsys")


def test_an_unreachable_mirror_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LIBRARIES", {})
    with pytest.raises(StudyError, match="apt-get failed with exit code"):
        packages.fetch(_unreachable(tmp_path), tmp_path / "env" / "nsys")
    assert list((tmp_path / "env").iterdir()) == []


def test_a_machine_without_apt_is_told_how_to_get_nsys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LIBRARIES", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match=r"apt-get, which is not on this machine.*download page"):
        packages.fetch(_unreachable(tmp_path), tmp_path / "nsys")


def test_a_library_that_cannot_be_loaded_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LIBRARIES", {"libc.so.6": "libc6", "libabsent.so.9": "libabsent9"})
    assert packages.missing_libraries() == ("libabsent9",)


@pytest.mark.parametrize("second", ["aaa", "zzz"], ids=["found before the folder", "found after it"])
def test_a_package_that_links_its_folder_twice_still_arrives_whole(tmp_path: Path, second: str) -> None:
    lib = tmp_path / "unpacked" / "usr" / "lib"
    for path in ("mmm/nsight-systems/target-linux-x64/nsys", "mmm/nsight-systems/host-linux-x64/QdstrmImporter"):
        (lib / path).parent.mkdir(parents=True, exist_ok=True)
        (lib / path).write_text(path)
    (lib / second).mkdir()
    (lib / second / "target-linux-x64").symlink_to("../mmm/nsight-systems/target-linux-x64")
    (lib / second / "host-linux-x64").symlink_to("../mmm/nsight-systems/host-linux-x64")
    packages._arrange(tmp_path / "unpacked", tmp_path / "nsys")
    assert (tmp_path / "nsys" / "bin" / "nsys").read_text() == "mmm/nsight-systems/target-linux-x64/nsys"
    assert (tmp_path / "nsys" / "host-linux-x64" / "QdstrmImporter").is_file()


def test_packages_without_a_command_line_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="hold no command-line nsys"):
        packages._arrange(tmp_path, tmp_path / "nsys")


def test_a_link_out_of_the_package_leads_to_the_systems_library(tmp_path: Path) -> None:
    host, library = tmp_path / "host", tmp_path / "lib" / "any-linux-gnu" / "libssh.so.4"
    library.parent.mkdir(parents=True)
    library.write_text("the system's")
    host.mkdir()
    (host / "libssh.so").symlink_to("../../any-linux-gnu/libssh.so.4")
    (host / "libown.so").symlink_to("libown.so.1")
    (host / "libown.so.1").write_text("the package's")
    packages._mend_links(host, tmp_path / "lib")
    assert (host / "libssh.so").read_text() == "the system's"
    assert (host / "libown.so").read_text() == "the package's"


def _unreachable(tmp_path: Path) -> packages.Source:
    return packages.Source(mirror=f"file:{tmp_path}/no-mirror", suite="none", component="main", keyring="/dev/null")
