"""The exact output of the demo."""

from tests.support.processes import Child, command, home, needs_proc

TEXT = """\
Account 100: Account created successfully., Balance: 0.0
Account 100: Deposit successful., Balance: 10000.0
Account 100: Withdrawal successful., Balance: 9980.0
Account 100: Interest added., Balance: 10479.0
Account 100: Balance retrieved., Balance: 10479.0
Account 101: Account created successfully., Balance: 0.0
Account 101 error: StatusCode.ALREADY_EXISTS, Account already exists.
Account 102: Account created successfully., Balance: 0.0
Account 102 error: StatusCode.INVALID_ARGUMENT, Transaction amount must be positive.
Account 103: Account created successfully., Balance: 0.0
Account 103: Deposit successful., Balance: 50.0
Account 103 error: StatusCode.FAILED_PRECONDITION, Insufficient funds for the requested withdrawal.
Account 104: Account created successfully., Balance: 0.0
Account 104: Deposit successful., Balance: 500.0
Account 104 error: StatusCode.INVALID_ARGUMENT, Annual interest rate must be a positive value.
Account 105: Account created successfully., Balance: 0.0
Account 105: Deposit successful., Balance: 100.0
Account 105: Deposit successful., Balance: 200.0
Account 105: Deposit successful., Balance: 300.0
Account 105: Balance retrieved., Balance: 300.0
"""


def output(child: Child) -> str:
    lines = []
    while line := child.line():
        lines.append(f"{line}\n")
    return "".join(lines)


@needs_proc
def test_the_scenarios_line_by_line() -> None:
    with home() as place, command("demo", environ=place.environ) as demo:
        assert output(demo) == TEXT
        assert demo.wait() == 0
        (engine,) = demo.errors().splitlines()
        assert engine.startswith(("Redis ", "Valkey "))
        assert place.is_empty()
