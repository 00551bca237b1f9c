"""The unattended run of the tests gets a browser where it can, and says where it cannot."""

import subprocess
from pathlib import Path

import pytest

NOTING = """#!/bin/sh
echo "${0##*/} $* ${CHROMIUM_EXPECTED:-}" >> "$CALLS"
"""
INSTALLING = (
    NOTING + 'if [ "$2" = install ]; then printf "#!/bin/sh\\n" > "$TOOLS/chromium"; chmod +x "$TOOLS/chromium"; fi\n'
)
TOOLS = ("bash", "sh", "dirname", "chmod", "env", "cat")


@pytest.mark.parametrize(
    ("apt", "has_browser", "calls"),
    [
        pytest.param(NOTING, True, ["make test 1"], id="a machine with a browser installs none"),
        pytest.param(
            INSTALLING,
            False,
            [
                "apt-get -qq update ",
                "apt-get -qq install --no-install-recommends chromium fonts-dejavu-core ",
                "make test 1",
            ],
            id="a bare machine gets one, whose tests may not skip",
        ),
        pytest.param(
            "#!/bin/sh\nexit 100\n", False, ["make test "], id="where none is to be had the tests run without"
        ),
    ],
)
def test_a_browser_is_installed_where_it_is_missing(
    root: Path, tmp_path: Path, apt: str, has_browser: bool, calls: list[str]
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        real = next(folder / name for folder in (Path("/bin"), Path("/usr/bin")) if (folder / name).exists())
        (tools / name).symlink_to(real)
    scripts = {"apt-get": apt, "make": NOTING, "python3": NOTING.splitlines()[0] + "\n"}
    for name, text in (scripts | ({"chromium": "#!/bin/sh\n"} if has_browser else {})).items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    env = {"PATH": str(tools), "TOOLS": str(tools), "CALLS": str(tmp_path / "calls")}
    done = subprocess.run([root / ".ci" / "run"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == calls
    assert ("No Chromium could be installed" in done.stderr) == (calls == ["make test "])
