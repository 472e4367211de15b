"""The facts in lesson 10's text are true."""

import nbformat

from bankkit.lab.faults import rig
from bankkit.options import BankOptions
from tests.support.paths import NOTEBOOKS

CELLS = nbformat.read(NOTEBOOKS / "10_two_servers.ipynb", as_version=4).cells
PROSE = "\n".join(" ".join(cell.source.split()) for cell in CELLS if cell.cell_type == "markdown")


def test_the_leases_are_as_long_as_the_text_says() -> None:
    assert rig.LEASE_SECONDS == 0.5
    assert BankOptions.lease == 3
    assert "A lease lasts half a second here, and 3 seconds by default." in PROSE
