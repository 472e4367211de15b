"""What EXPLORER.md shows works as it stands there."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from bankkit.explorer import BrokenSchedule, explore, explored
from tests.support.paths import ROOT

PAGE = (ROOT / "EXPLORER.md").read_text(encoding="utf-8")


def test_the_first_test_fails_as_the_page_says(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "test_counter.py"
    file.write_text(code)  # the explorer takes names from the source
    space = runpy.run_path(str(file))
    with pytest.raises(BrokenSchedule) as caught:
        space["test_two_additions"]()
    told = re.findall(r"```\n(bug after.*?assertion)", PAGE)
    assert str(caught.value).startswith(told[0])
    for step in re.findall(r"^ +\*?\d+ +(\w+ [\w.]+) \(…\)", PAGE, re.MULTILINE):
        assert step in re.sub(r"\s+", " ", str(caught.value))
    correct = code.replace("        value = self.value\n        with", "        with")
    file.write_text(correct.replace("= value + 1", "+= 1"))
    runpy.run_path(str(file))["test_two_additions"]()


def test_each_way_to_the_code_exists() -> None:
    for option in re.findall(r"`(\w+)=", PAGE):
        explored(**{option: "pct" if option == "strategy" else 1})
    threading = "threading.(track|shared|points|choose|together|waiting)"
    used = set(re.findall(threading, PAGE))

    def scenario(module: Any) -> None:
        assert all(callable(getattr(module, name)) for name in used)

    assert len(used) == 6
    assert explore(scenario).bug is None
