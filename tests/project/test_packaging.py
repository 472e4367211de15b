"""The ways to install: the wheel, the conda environment, the Binder image, the make targets."""

import email
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT
from tests.support.venvs import THIS
from tests.support.versions import (
    BESIDE_LESSONS,
    EXTRAS,
    SUPPORTED,
    environment_python,
    lock_entries,
    locked,
    pins,
    required,
    requirements,
    system,
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("bankkit-*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bankkit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == here | {"pytest_bankkit.py"}
    assert {"bankkit/py.typed", "bankkit/pb/bank_pb2.pyi", "bankkit/pb/bank_pb2.py"} <= shipped


def test_plain_bankkit_brings_no_jupyter(wheel: zipfile.ZipFile) -> None:
    (file,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    fields = email.message_from_bytes(wheel.read(file))
    entries = map(Requirement, fields.get_all("Requires-Dist", []))
    plain = {entry.name for entry in entries if not (entry.marker and "extra" in str(entry.marker))}
    assert plain == {
        "grpcio",
        "grpcio-health-checking",
        "grpcio-reflection",
        "grpcio-status",
        "protobuf",
        "redis",
    }


def test_the_wheel_says_its_licences_and_holds_them(wheel: zipfile.ZipFile) -> None:
    (file,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    fields = email.message_from_bytes(wheel.read(file))
    assert fields["License-Expression"] == "MIT AND CC-BY-4.0"
    folder = file.removesuffix("METADATA") + "licenses/"
    assert fields.get_all("License-File") == ["LICENSE", "notebooks/LICENSE.md"]
    for name in fields.get_all("License-File", []):
        assert wheel.read(folder + name) == (ROOT / name).read_bytes()


def test_the_package_runs_without_what_only_lessons_need() -> None:
    """Nothing outside `bankkit.lab` imports a package of the `lab` extra, directly or not."""
    lab_only = {
        *("anywidget", "filelock", "ipykernel", "IPython", "ipywidgets", "jupyterlab"),
        *("matplotlib", "platformdirs"),
    }
    code = (
        "import sys; from bankkit import *; "  # all names, because each is imported on first use
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    imported = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split()
    assert "grpc" in imported
    assert not lab_only & set(imported)


STALE = "run `make upgrade`, or `.venv/bin/python -m tests.lock_versions --keep`"

everywhere = pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])


@everywhere
@pytest.mark.parametrize("python", SUPPORTED)
def test_the_lock_has_what_pyproject_asks_for(python: str, platform: str) -> None:
    versions = locked(python, platform)
    for requirement in required(*EXTRAS):
        if requirement.marker is None or requirement.marker.evaluate(system(python, platform)):
            assert requirement.name in versions, f"{requirement} is not locked: {STALE}"
            assert versions[requirement.name] in requirement.specifier, f"{requirement}: {STALE}"


def test_the_lock_has_hashes_and_names_no_place() -> None:
    """The lock does not depend on the source of the files: PyPI, a mirror, or a folder."""
    for text in lock_entries().values():
        first, *others = text.splitlines()
        assert re.fullmatch(r"[a-z0-9-]+==[^ @]+( ; .*)? \\", first), first
        assert others
        for line in others:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


def test_make_installs_the_lock_and_nothing_else() -> None:
    recipe = subprocess.check_output(
        ["make", "--dry-run", "--always-make", "install"], cwd=ROOT, text=True
    )
    installs = re.findall(r"-m pip .*install (.*)", recipe)
    assert installs == [
        "--require-hashes --requirement .venv/first.txt",
        "--require-hashes --no-build-isolation --requirement requirements.lock",
        "--no-deps --no-build-isolation --editable .",
    ]
    assert {"pip", "hatchling"} <= locked(THIS, "linux").keys()


def test_environment_yml_has_the_locks_versions() -> None:
    every, pinned = requirements(*EXTRAS), pins()
    wanted = requirements("lab").keys() | set(BESIDE_LESSONS)
    assert wanted <= pinned.keys(), STALE
    for name, pin in pinned.items():
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert pin.extras == (every[name].extras if name in wanted else set())
        for platform in ("linux", "darwin"):
            if pin.marker is None or pin.marker.evaluate(system(environment_python(), platform)):
                version = locked(environment_python(), platform).get(name)
                assert version == exact.version, f"{name}, {platform}: {STALE}"


def test_environment_yml_leaves_nothing_to_chance() -> None:
    """All dependencies of a pinned package are pinned, too. We check the installed packages."""
    pinned, asked = pins(), system(environment_python(), "linux")
    for pin in pinned.values():
        if pin.marker is not None and not pin.marker.evaluate(asked):
            continue
        for entry in map(Requirement, metadata.requires(pin.name) or []):
            in_use = entry.marker is None or any(
                entry.marker.evaluate({**asked, "extra": extra}) for extra in {"", *pin.extras}
            )
            if in_use:
                assert canonicalize_name(entry.name) in pinned, f"{pin} needs {entry}: {STALE}"


def test_names_are_written_canonically() -> None:
    for name in requirements(*EXTRAS):
        assert name == canonicalize_name(name)


def test_binder_builds_from_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chooses and renders the build as mybinder.org does, but does not run Docker."""
    repo2docker = pytest.importorskip(
        "repo2docker.app", reason="no repo2docker: pip install 'bankkit[test]'"
    )
    from repo2docker.buildpacks import CondaBuildPack

    monkeypatch.chdir(ROOT)
    app = repo2docker.Repo2Docker()
    build = next(
        candidate
        for candidate in (
            buildpack("docker.io/library/ubuntu:24.04") for buildpack in app.buildpacks
        )
        if candidate.detect()
    )
    build.platform = "linux/amd64"
    assert type(build) is CondaBuildPack
    assert build.python_version == "3.12"

    environment = Path(build.binder_path("environment.yml"))
    assert environment.parts[0] == "binder"
    assert environment.resolve() == ROOT / "environment.yml"
    assert build.get_post_build_scripts() == ["binder/postBuild"]

    dockerfile = build.render()
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"' in dockerfile
    assert "RUN ./binder/postBuild" in dockerfile


def test_binder_starts_with_no_script_of_its_own() -> None:
    """A `start` script runs only on Binder, so no lesson may depend on one."""
    folder = ROOT / "binder"
    assert {path.name for path in folder.iterdir()} == {"environment.yml", "postBuild"}
    assert (folder / "postBuild").stat().st_mode & 0o111


@pytest.mark.parametrize(
    "target",
    [
        *("help", "install", "upgrade", "lab", "test", "test-latest", "test-all"),
        *("bench", "soak", "notebooks", "proto", "clean"),
    ],
)
def test_make_knows(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_alone_lists_the_targets() -> None:
    listed = subprocess.check_output(["make"], cwd=ROOT, text=True)
    assert "make lab" in listed
    assert "make test" in listed
