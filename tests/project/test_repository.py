"""The files that visitors and GitHub expect at the root exist, and agree with pyproject.toml."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.versions import project

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PAGES = [
    *(ROOT / name for name in ("CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "README.md")),
    ROOT / "notebooks" / "LICENSE.md",
    ROOT / ".github" / "pull_request_template.md",
]

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def read(name: str) -> Any:
    """The content of a YAML file of this checkout."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_agrees_with_the_package() -> None:
    citation, package = read("CITATION.cff"), project()
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == package["version"]
    assert citation["title"] == package["name"]
    assert citation["abstract"] == package["description"]
    assert citation["keywords"] == package["keywords"]
    assert citation["license"] in str(package["license"]).split(" AND ")


def test_each_licence_is_said_where_people_look() -> None:
    package = project()
    assert package["license"] == "MIT AND CC-BY-4.0"
    mit, lessons = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in package["license-files"]  # type: ignore[attr-defined]
    )
    assert mit.startswith("MIT License\n")
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in lessons
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](LICENSE)" in readme
    assert "](notebooks/LICENSE.md)" in readme


def test_a_bug_report_asks_the_doctor() -> None:
    fields = {field.get("id"): field for field in read(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    assert "python -m bankkit doctor" in fields["doctor"]["attributes"]["description"]
    assert fields["doctor"]["validations"]["required"] is True


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_can_be_filled_in(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert len({field["attributes"]["label"] for field in fields}) == len(fields)


def test_the_workflow_runs_what_we_run_and_may_do_nothing_else() -> None:
    workflow = read(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    assert job["timeout-minutes"] > 0
    assert job["steps"][-1] == {"run": ".ci/run"}
    for step in job["steps"]:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v0"))


def test_make_lab_works_in_the_container() -> None:
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert container["postCreateCommand"].endswith("&& make install")
    assert container["forwardPorts"] == [8888]  # JupyterLab's default
    assert container["remoteUser"] not in ("", "root")  # JupyterLab refuses root


@every_page
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^()\s]+)\)", path.read_text(encoding="utf-8")):
        if not re.match(r"https?:|#", link):
            assert (path.parent / link.partition("#")[0]).is_file(), link


@every_page
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(r"(?:`|^    )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named <= targets
