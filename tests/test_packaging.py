"""What people install: the wheel, the conda environment, the Binder image, the make targets."""

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.venvs import ROOT, pins, requirements


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
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
    assert shipped == here
    assert {"bankkit/py.typed", "bankkit/pb/bank_pb2.pyi", "bankkit/pb/bank_pb2.py"} <= shipped


def test_plain_bankkit_brings_no_jupyter(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    fields = email.message_from_bytes(wheel.read(metadata))
    required = map(Requirement, fields.get_all("Requires-Dist", []))
    plain = {
        entry.name for entry in required if not (entry.marker and "extra" in str(entry.marker))
    }
    assert plain == {
        "grpcio",
        "grpcio-health-checking",
        "grpcio-reflection",
        "grpcio-status",
        "protobuf",
        "redis",
    }


def test_the_package_runs_without_what_only_lessons_need() -> None:
    """Nothing outside `bankkit.lab` imports a package of the `lab` extra, directly or not."""
    lab_only = {"anywidget", "ipykernel", "IPython", "ipywidgets", "jupyterlab", "matplotlib"}
    code = "import sys, bankkit; print(*{name.partition('.')[0] for name in sys.modules})"
    imported = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split()
    assert "grpc" in imported
    assert not lab_only & set(imported)


def test_environment_yml_pins_what_the_lessons_need() -> None:
    wanted, pinned = requirements("lab"), pins()
    assert wanted.keys() == pinned.keys()
    for name, pin in pinned.items():
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert exact.version in wanted[name].specifier, f"{pin} is not {wanted[name]}"
        assert pin.extras == wanted[name].extras


def test_names_are_written_canonically() -> None:
    for name in requirements("lab", "embedded", "test", "bench"):
        assert name == canonicalize_name(name)


def test_binder_builds_from_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chooses the build as mybinder.org does, and renders it; only Docker itself is left out."""
    repo2docker = pytest.importorskip("repo2docker.app")
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
    """A `start` script runs in nobody's JupyterLab but Binder's, so no lesson may lean on one."""
    folder = ROOT / "binder"
    assert {path.name for path in folder.iterdir()} == {"environment.yml", "postBuild"}
    assert (folder / "postBuild").stat().st_mode & 0o111


@pytest.mark.parametrize(
    "target", ["help", "install", "lab", "test", "bench", "soak", "notebooks", "proto", "clean"]
)
def test_make_knows(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_alone_lists_the_targets() -> None:
    listed = subprocess.check_output(["make"], cwd=ROOT, text=True)
    assert "make lab" in listed
    assert "make test" in listed
