"""A bank in Redis, behind gRPC, and a model in a dict agree after any sequence of operations."""

import math
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import bankkit

LIMIT = 10**15
Answer = tuple[str, int | None]
"""The status code, and the balance in cents if the reply has one."""


class Model:
    """The bank's rules, without a network, a lock or a store."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}
        self.replies: dict[tuple[str, str], tuple[str, float, int]] = {}

    def create(self, account: str) -> Answer:
        """Opens an account."""
        if account in self.balances:
            return "ALREADY_EXISTS", None
        self.balances[account] = 0
        return "OK", 0

    def read(self, account: str) -> Answer:
        """Reads a balance."""
        found = self.balances.get(account)
        return ("NOT_FOUND", None) if found is None else ("OK", found)

    def change(self, method: str, account: str, number: float, request_id: str) -> Answer:
        """Applies a deposit, a withdrawal or interest."""
        if not number > 0 or math.isinf(number):
            return "INVALID_ARGUMENT", None
        exact = Fraction(repr(number))  # the shortest decimal, as a person would type it
        if method != "CalculateInterest":
            exact *= 100
            if exact.denominator != 1:
                return "INVALID_ARGUMENT", None
            if exact > LIMIT:
                return "OUT_OF_RANGE", None
        if account not in self.balances:
            return "NOT_FOUND", None
        if (account, request_id) in self.replies:
            *before, replied = self.replies[account, request_id]
            return ("OK", replied) if before == [method, number] else ("INVALID_ARGUMENT", None)
        balance = self.balances[account]
        if method == "Deposit":
            balance += int(exact)
        elif method == "Withdraw":
            balance -= int(exact)
        else:
            balance += round(balance * exact / 100)  # `round` of a Fraction rounds half to even
        if balance < 0:
            return "FAILED_PRECONDITION", None
        if balance > LIMIT:
            return "OUT_OF_RANGE", None
        self.balances[account] = balance
        if request_id:
            self.replies[account, request_id] = (method, number, balance)
        return "OK", balance


names = st.sampled_from(["a", "b", "c"])
methods = st.sampled_from(["Deposit", "Withdraw", "CalculateInterest"])
request_ids = st.sampled_from(["", "", "r1", "r2", "r3"])
numbers = st.one_of(
    st.integers(1, 100_000).map(lambda cents: cents / 100),
    st.integers(1, LIMIT).map(lambda cents: cents / 100),
    st.sampled_from([0.01, 0.1, 0.3, 0.5, 1.0, 2.5, 5.0, 5e12, 1e13, 1e13 + 0.01, 0.001, 1e300]),
    st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1e-13]),
    st.floats(0.001, 200.0),
)


class BankMachine(RuleBasedStateMachine):
    """All examples share one bank, so the account ids contain the number of the example."""

    client: bankkit.Client
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        BankMachine.examples += 1
        self.prefix = f"x{BankMachine.examples}-"
        self.model = Model()
        self.sent: list[tuple[str, str, float, str]] = []

    @rule(name=names)
    def create(self, name: str) -> None:
        """Opens an account in the bank and in the model."""
        try:
            reply = self.client.create_account(self.prefix + name)
            answer: Answer = ("OK", round(reply.balance * 100))
        except bankkit.CallError as error:
            answer = (error.code().name, None)
        assert answer == self.model.create(name)

    @rule(name=names)
    def read(self, name: str) -> None:
        """Compares a balance of the bank with the model."""
        assert self.balance(name) == self.model.read(name)

    @rule(method=methods, name=names, number=numbers, request_id=request_ids)
    def change(self, method: str, name: str, number: float, request_id: str) -> None:
        """Sends a deposit, a withdrawal or interest."""
        self.send(method, name, number, request_id)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """Sends an earlier request again, under the same request id."""
        self.send(*data.draw(st.sampled_from(self.sent), label="sent before"))

    @precondition(lambda self: self.model.balances)
    @rule(data=st.data(), request_id=request_ids)
    def withdraw_everything(self, data: st.DataObject, request_id: str) -> None:
        """Withdraws the whole balance of an account."""
        name = data.draw(st.sampled_from(sorted(self.model.balances)), label="account")
        self.send("Withdraw", name, self.model.balances[name] / 100, request_id)

    @invariant()
    def no_balance_is_out_of_bounds(self) -> None:
        """Checks the balances of the model."""
        assert all(0 <= balance <= LIMIT for balance in self.model.balances.values())

    def teardown(self) -> None:
        """Compares all balances at the end of an example."""
        for name in ("a", "b", "c"):
            assert self.balance(name) == self.model.read(name)

    def send(self, method: str, name: str, number: float, request_id: str) -> None:
        """Sends a request to the bank, and compares the answer with the model's."""
        call = {
            "Deposit": self.client.deposit,
            "Withdraw": self.client.withdraw,
            "CalculateInterest": self.client.calculate_interest,
        }[method]
        try:
            reply = call(self.prefix + name, number, request_id=request_id)
            answer: Answer = ("OK", round(reply.balance * 100))
        except bankkit.CallError as error:
            answer = (error.code().name, None)
        assert answer == self.model.change(method, name, number, request_id)
        if request_id:
            self.sent.append((method, name, number, request_id))

    def balance(self, name: str) -> Answer:
        """The bank's answer to GetBalance."""
        try:
            return "OK", round(self.client.get_balance(self.prefix + name).balance * 100)
        except bankkit.CallError as error:
            return error.code().name, None


@pytest.fixture(scope="module", params=["read-write", "redis-read-write", "atomic", "mutex"])
def bank(request: pytest.FixtureRequest) -> Iterator[bankkit.Bank]:
    """A bank with one of the concurrency choices."""
    with bankkit.Bank(request.param) as bank:
        yield bank


@pytest.mark.one_in(2)
def test_the_bank_agrees_with_the_model(bank: bankkit.Bank) -> None:
    class Machine(BankMachine):
        client = bank.client

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
