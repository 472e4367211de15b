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
    code, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "test_counter.py"
    file.write_text(code)  # the explorer takes names from the source
    space = runpy.run_path(str(file))
    with pytest.raises(BrokenSchedule) as caught:
        space["test_two_additions"]()
    told = re.findall(r"```\n(bug after.*?assertion)", PAGE)
    assert str(caught.value).startswith(told[0])
    shown = re.sub(r"\s+", " ", str(caught.value))
    steps = re.findall(r"^ +\*?\d+>? +(\w+ [\w.]+) \(…\)", PAGE, re.MULTILINE)
    assert len(steps) == 9
    assert all(step in shown for step in steps)
    (why,) = re.findall(r"^If step.*?\.$", PAGE, re.MULTILINE | re.DOTALL)
    assert why.replace("\n", " ") in shown
    correct = code.replace("        value = self.value\n        with", "        with")
    file.write_text(correct.replace("= value + 1", "+= 1"))
    runpy.run_path(str(file))["test_two_additions"]()


def test_the_cache_is_not_linearizable_as_the_page_says(tmp_path: Path) -> None:
    _, code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "test_cache.py"
    file.write_text(code)
    with pytest.raises(BrokenSchedule) as caught:
        runpy.run_path(str(file))["test_cache"]()
    told, calls = re.findall(r"```\n(bug after.*?)\n\n(.*?)```", PAGE, re.DOTALL)[1]
    sentence, history, _table, _why = str(caught.value).split("\n\n")
    assert sentence == told.replace("\n", " ")
    assert history == calls.rstrip()


def test_each_way_to_the_code_exists() -> None:
    values: dict[str, Any] = {"strategy": "pct", "reduction": False, "patch": [re], "lines": [re]}
    for option in re.findall(r"`(\w+)=", PAGE):
        options = {option: values.get(option, 1)}
        if option in ("delays", "depth"):
            options["strategy"] = "delay" if option == "delays" else "pct"
        explored(**options)
    threading = "threading.(track|shared|points|choose|together|waiting)"
    used = set(re.findall(threading, PAGE))

    def scenario(module: Any) -> None:
        assert all(callable(getattr(module, name)) for name in used)

    assert len(used) == 6
    assert explore(scenario).bug is None
