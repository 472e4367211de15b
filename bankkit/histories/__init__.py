"""Checks histories of operations: is there an order of the calls that explains what they returned?

    from bankkit.histories import Operation, RegisterModel, linearizable

    history = (
        Operation("writer", "write", (1,), start=0, end=1),
        Operation("reader", "read", (), start=2, end=3, result=0),
    )
    print(linearizable(RegisterModel(0))(history))  # no order explains it: reader's read() …

The history can come from anywhere: from threads, from clients of a server, from
`bankkit.explorer`, which checks the history of every schedule. This room imports only the standard
library.
"""

from bankkit.histories.checks import linearizable, sequentially_consistent
from bankkit.histories.diagram import diagram
from bankkit.histories.models import (
    BankModel,
    CounterModel,
    QueueModel,
    ReadWriteLockModel,
    RegisterModel,
)
from bankkit.histories.operation import Operation, Raised
from bankkit.histories.specification import ANY, Model, UnknownOperation

__all__ = [
    "ANY",
    "BankModel",
    "CounterModel",
    "Model",
    "Operation",
    "QueueModel",
    "Raised",
    "ReadWriteLockModel",
    "RegisterModel",
    "UnknownOperation",
    "diagram",
    "linearizable",
    "sequentially_consistent",
]
