"""The sdist and the wheel: what is in them, and that they can be installed."""

from __future__ import annotations

import email
import email.message
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.package

ROUND_TRIP = Path(__file__).with_name("round_trip.py")

PLAIN = ["trio", "outcome", "google-crc32c"]
"""What a plain install brings."""

PYTHONS = "3.11", "3.12", "3.13", "3.14"
PLATFORMS = {
    # Newest first: pip takes a platform's name literally.
    "manylinux x86_64": ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64"],
    "manylinux aarch64": ["manylinux_2_28_aarch64", "manylinux_2_17_aarch64"],
    "musllinux x86_64": ["musllinux_1_2_x86_64"],
    "musllinux aarch64": ["musllinux_1_2_aarch64"],
    "macOS arm64": ["macosx_12_0_arm64"],
    "Windows x86_64": ["win_amd64"],
}

BUILT_BY_PIP = {("google-crc32c", "musllinux x86_64"), ("google-crc32c", "musllinux aarch64")}
"""What has no wheel, so that pip builds it: without a compiler as well, as is tested below."""


@pytest.fixture(scope="session")
def dist() -> Path:
    """The folder with what `make package` has built."""
    folder = os.environ.get("TRIO_SCTP_DIST")
    if folder is None:
        pytest.skip("needs a package index, and distributions: run `make package`")
    return Path(folder).absolute()


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    (path,) = dist.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def compiled_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What cibuildwheel makes for each platform, for this one."""
    folder = tmp_path_factory.mktemp("compiled")
    pip = sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir"
    run(*pip, "--wheel-dir", folder, sdist, cwd=folder, variables={"TRIO_SCTP_COMPILE": "1"})
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def environment(variables: Mapping[str, str] = {}) -> dict[str, str]:
    """That of somebody who has only what is installed."""
    unset = {"PYTHONPATH", "TRIO_SCTP_STACK", "TRIO_SCTP_PURE", "TRIO_SCTP_COMPILE"}
    return {name: value for name, value in os.environ.items() if name not in unset} | {**variables}


def run(*command: str | Path, cwd: Path, variables: Mapping[str, str] = {}) -> str:
    """Run it away from the sources."""
    done = subprocess.run(
        command, cwd=cwd, env=environment(variables), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def fresh_environment(folder: Path) -> Path:
    """Make a virtual environment; give its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


# -- what is in them -------------------------------------------------------------------------


def test_a_plain_install_brings_only_what_it_needs(metadata: email.message.Message) -> None:
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^\w-]", line)[0] for line in required} == {*PLAIN}


def test_pysctp_is_an_extra(metadata: email.message.Message) -> None:
    assert "pysctp" in metadata.get_all("Provides-Extra", [])
    assert "pysctp>=0.7.3; extra == 'pysctp'" in metadata.get_all("Requires-Dist", [])


def test_no_link_of_the_long_description_is_relative(metadata: email.message.Message) -> None:
    description = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert isinstance(description, str)
    links = re.findall(r"\]\(([^)]+)\)", description)
    assert links
    assert all(re.match(r"https?://", link) for link in links)


def test_a_wheel_has_types_and_licences_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "trio_sctp/py.typed" in names
    licences = {name.split("/licenses/")[1] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE-APACHE", "LICENSE-MIT"}
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"trio_sctp"}


def test_the_wheel_is_for_every_machine(wheel: Path) -> None:
    """Although the tree that it was built in may hold compiled modules."""
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {Path(name).suffix for name in archive.namelist() if "_engine" in name} == {".py"}


def test_a_compiled_wheel_is_for_one_platform_and_has_the_pure_engine_too(
    wheel: Path, compiled_wheel: Path
) -> None:
    assert not compiled_wheel.name.endswith("-none-any.whl")
    with zipfile.ZipFile(wheel) as pure, zipfile.ZipFile(compiled_wheel) as compiled:
        modules = {name for name in pure.namelist() if name.startswith("trio_sctp/")}
        more = {name for name in compiled.namelist() if name.startswith("trio_sctp/")} - modules
        assert modules <= {*compiled.namelist()}
        assert more
        assert {Path(name).suffix for name in more} == {".so" if os.name == "posix" else ".pyd"}


def test_an_sdist_has_all_that_its_readme_speaks_of(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["trio_sctp/py.typed", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "Makefile"]
    wanted += [
        "tools/compile_engine.py",
        "docs/index.md",
        "examples/demo.py",
        "tests/packaging/round_trip.py",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ]
    assert {*wanted} <= names


# -- installing them -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_installed_works(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    artefact: Path = request.getfixturevalue(kind)
    python = fresh_environment(tmp_path / "fresh")
    run(python, "-m", "pip", "install", "--quiet", artefact, cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    run(python, "-W", "error", "-X", "dev", ROUND_TRIP, cwd=tmp_path)


def test_the_command_says_what_it_lacks_and_works_with_it(wheel: Path, tmp_path: Path) -> None:
    """The command is there after a plain install, and its libraries are an extra."""
    python = fresh_environment(tmp_path / "fresh")
    pip = python, "-m", "pip", "install", "--quiet"
    check = python.with_name("trio-sctp"), "check", "--stack", "userland"
    run(*pip, wheel, cwd=tmp_path)
    with pytest.raises(AssertionError, match=re.escape("pip install 'trio_sctp[cli]'")):
        run(*check, cwd=tmp_path)
    run(*pip, f"{wheel}[cli]", cwd=tmp_path)
    assert "userland" in run(*check, cwd=tmp_path)


@pytest.mark.parametrize("kind", ["wheel", "compiled_wheel"])
def test_the_programs_of_the_long_description_run(
    kind: str, request: pytest.FixtureRequest, metadata: email.message.Message, tmp_path: Path
) -> None:
    """Those of the README, as an index shows it, where nothing else is installed."""
    artefact: Path = request.getfixturevalue(kind)
    description = metadata.get_payload()
    assert isinstance(description, str)
    programs = re.findall(r"```python\n(.*?)```", description, re.DOTALL)
    for name, program in zip(["server.py", "client.py"], programs, strict=True):
        (tmp_path / name).write_text(program)
    python = fresh_environment(tmp_path / "fresh")
    run(python, "-m", "pip", "install", "--quiet", artefact, cwd=tmp_path)
    strictly: list[str | Path] = [python, "-W", "error", "-X", "dev"]
    userland = environment({"TRIO_SCTP_STACK": "userland"})
    with subprocess.Popen([*strictly, "server.py"], cwd=tmp_path, env=userland) as server:
        try:
            for _ in range(60):  # It is refused until the server listens.
                client = subprocess.run(
                    [*strictly, "client.py"], cwd=tmp_path, env=userland, capture_output=True
                )
                if client.returncode == 0 or server.poll() is not None:
                    break
        finally:
            server.terminate()
    answer = b"Message(data=b'hello', stream=3, ppid=46,"
    assert client.stdout.startswith(answer), client.stderr.decode()


def test_it_installs_and_works_without_a_compiler(wheel: Path, tmp_path: Path) -> None:
    """As with musl, where google-crc32c has no wheel: its checksum is pure Python then."""
    python = fresh_environment(tmp_path / "fresh")
    options = "--quiet", "--no-cache-dir", "--no-binary=google-crc32c"
    without = {"CC": "false", "CXX": "false"}
    run(python, "-m", "pip", "install", *options, wheel, cwd=tmp_path, variables=without)
    code = "import google_crc32c; print(google_crc32c.implementation)"
    assert "python" in run(python, "-W", "ignore", "-c", code, cwd=tmp_path)
    run(python, "-W", "error", "-X", "dev", ROUND_TRIP, cwd=tmp_path)


def test_the_engine_can_be_had_compiled(compiled_wheel: Path, tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "fresh")
    run(python, "-m", "pip", "install", "--quiet", compiled_wheel, cwd=tmp_path)
    for variables, compiled in ({}, "True"), ({"TRIO_SCTP_PURE": "1"}, "False"):
        code = "import trio_sctp; print(trio_sctp.__compiled__)"
        assert run(python, "-c", code, cwd=tmp_path, variables=variables).strip() == compiled
        run(python, "-W", "error", "-X", "dev", ROUND_TRIP, cwd=tmp_path, variables=variables)


def test_a_compilation_that_was_asked_for_and_fails_is_an_error(
    sdist: Path, tmp_path: Path
) -> None:
    python = fresh_environment(tmp_path / "fresh")
    broken = {"TRIO_SCTP_COMPILE": "1", "CC": "false"}
    pip = python, "-m", "pip", "install", "--quiet", "--no-cache-dir"
    with pytest.raises(AssertionError, match="CompileError"):
        run(*pip, sdist, cwd=tmp_path, variables=broken)
    assert "trio_sctp" not in run(python, "-m", "pip", "list", cwd=tmp_path)


def test_a_compilation_on_free_threaded_python_is_refused(sdist: Path, tmp_path: Path) -> None:
    """This Python pretends to be free-threaded, for the build alone."""
    python = fresh_environment(tmp_path / "fresh")
    pip = python, "-m", "pip", "install", "--quiet"
    run(*pip, "hatchling", "hatch-fancy-pypi-readme", "mypy[mypyc]", cwd=tmp_path)
    pretence = tmp_path / "pretence"
    pretence.mkdir()
    (pretence / "sitecustomize.py").write_text(
        "import sysconfig\nsysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1\n"
    )
    variables = {"TRIO_SCTP_COMPILE": "1", "PYTHONPATH": str(pretence)}
    with pytest.raises(AssertionError, match="free-threaded Python"):
        run(*pip, "--no-build-isolation", sdist, cwd=tmp_path, variables=variables)
    variables["TRIO_SCTP_COMPILE"] = "0"
    run(*pip, "--no-build-isolation", "--no-deps", sdist, cwd=tmp_path, variables=variables)


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_dependencies_have_wheels(dist: Path, platform: str, version: str, tmp_path: Path) -> None:
    names = [f"--platform={name}" for name in PLATFORMS[platform]]
    wanted = [name for name in PLAIN if (name, platform) not in BUILT_BY_PIP]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    run(*pip, *names, f"--python-version={version}", *wanted, cwd=tmp_path)
    assert len(list(tmp_path.glob("*.whl"))) == len(wanted)
