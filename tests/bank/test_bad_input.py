"""The bank answers any bad input with one clear error, and its balances stay right."""

import math
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bankkit
from bankkit.pb import bank_pb2
from tests.support.waiting import eventually, eventually_idle

EXAMPLES = 210
REQUESTS_EACH = 10
METADATA_LIMIT = 8 * 1024
"""Bytes of metadata that every gRPC peer must accept; a peer may refuse more."""

MESSAGES: dict[str, Any] = {
    "CreateAccount": bank_pb2.AccountRequest,
    "GetBalance": bank_pb2.AccountRequest,
    "Deposit": bank_pb2.DepositRequest,
    "Withdraw": bank_pb2.WithdrawRequest,
    "CalculateInterest": bank_pb2.InterestRequest,
}
ACCOUNTS = ("acc-1", "acc-2", "acc-3")


@pytest.fixture(scope="module")
def bank() -> Iterator[bankkit.Bank]:
    """A bank that all tests of this file share."""
    with bankkit.Bank() as bank:
        yield bank


# Generated input: strings, numbers, whole messages as bytes.

huge = st.builds(
    lambda piece, size: (piece * size)[:size],
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=5),
    st.integers(100, 25_000),  # characters of at most four bytes: 100 kB
)
anything = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=10),
    huge,
    st.sampled_from(
        ["\0", "a\0b", "acc-1\0", "\u202eacc-1", "acc-1\n", "{acc-1}", "*", "\U0010ffff"]
    ),
)
account_ids = st.one_of(
    st.sampled_from(ACCOUNTS),
    st.sampled_from(ACCOUNTS),
    st.text("aZ09", min_size=1, max_size=64),
    anything,
)
account_types = st.one_of(st.sampled_from(["savings", "checking"]), anything)
request_ids = st.one_of(st.just(""), st.sampled_from(["r1", "r2", "é\0", "{x}:y *"]), anything)
doubles = st.one_of(
    st.integers(1, 1_000_000).map(lambda cents: cents / 100),
    st.floats(),
    st.floats(1e-3, 1e14),
    st.sampled_from([0.01, 5.0, 1e13, 1e300, math.nan, math.inf, -math.inf, -0.0, 5e-324]),
)
messages = st.one_of(
    st.tuples(
        st.sampled_from(["CreateAccount", "GetBalance"]),
        st.builds(bank_pb2.AccountRequest, account_id=account_ids, account_type=account_types),
    ),
    st.tuples(
        st.just("Deposit"),
        st.builds(
            bank_pb2.DepositRequest, account_id=account_ids, amount=doubles, request_id=request_ids
        ),
    ),
    st.tuples(
        st.just("Withdraw"),
        st.builds(
            bank_pb2.WithdrawRequest, account_id=account_ids, amount=doubles, request_id=request_ids
        ),
    ),
    st.tuples(
        st.just("CalculateInterest"),
        st.builds(
            bank_pb2.InterestRequest,
            account_id=account_ids,
            annual_interest_rate=doubles,
            request_id=request_ids,
        ),
    ),
).map(lambda pair: (pair[0], pair[1].SerializeToString()))


def varint(number: int) -> bytes:
    """A number in protobuf's variable-length encoding."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, wire_type: int, payload: bytes) -> bytes:
    """An encoded field; wire types 6 and 7 do not exist."""
    if wire_type == 2:
        payload = varint(len(payload)) + payload
    return varint(number << 3 | wire_type) + payload


fields = st.builds(
    field,
    st.one_of(st.integers(1, 4), st.integers(0, 2**29)),
    st.integers(0, 7),
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([name.encode() for name in ACCOUNTS]),
        doubles.map(lambda number: struct.pack("<d", number)),
        st.integers(0, 2**70).map(varint),
    ),
)
methods = st.sampled_from(sorted(MESSAGES))
raw = st.one_of(
    st.binary(max_size=200),
    st.lists(fields, max_size=6).map(b"".join),
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A message with one byte changed, or a message that is cut short."""
    method, data = draw(messages)
    at = draw(st.integers(0, len(data)))
    tail = draw(st.one_of(st.just(b""), st.binary(min_size=1, max_size=1)))
    return method, data[:at] + tail + (data[at + 1 :] if tail else b"")


requests = st.one_of(messages, messages, st.tuples(methods, raw), damaged())


class Ledger:
    """The balances according to the bank's replies. Redis must hold these and nothing else."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}
        self.replies: dict[tuple[str, str], tuple[str, float, int]] = {}

    def acknowledge(self, method: str, request: Any, cents: int) -> None:
        """Checks a successful reply against the ledger, and records the change."""
        account: str = request.account_id
        if method == "CreateAccount":
            assert account not in self.balances
            assert request.account_type in ("savings", "checking")
            self.balances[account] = 0
        if method in ("CreateAccount", "GetBalance"):
            assert cents == self.balances[account]
            return
        before = self.balances[account]
        is_interest = method == "CalculateInterest"
        number: float = request.annual_interest_rate if is_interest else request.amount
        key = (account, request.request_id)
        if key in self.replies:
            assert self.replies[key] == (method, number, cents)
            return
        exact = Fraction(repr(number))
        change = {
            "Deposit": exact * 100,
            "Withdraw": -exact * 100,
            "CalculateInterest": Fraction(round(before * exact / 100)),
        }[method]
        assert cents == before + change
        assert 0 <= cents <= 10**15
        self.balances[account] = cents
        if request.request_id:
            self.replies[key] = (method, number, cents)


def check_error(error: Any) -> str:
    """Checks what must hold for every error, and returns its code."""
    code: grpc.StatusCode = error.code()
    assert code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), error.details()
    status = rpc_status.from_call(error)
    assert status is not None, f"no details with {code}"
    (detail,) = status.details
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    assert info.domain == "bankkit"
    assert info.reason
    size = len(error.details().encode())
    size += sum(len(key) + len(value) for key, value in error.trailing_metadata())
    assert size < METADATA_LIMIT
    assert "Traceback" not in error.details()
    return code.name


def test_generated_requests(bank: bankkit.Bank) -> None:
    ledger = Ledger()
    codes: dict[str, int] = {}
    with grpc.insecure_channel(bank.address) as channel:
        calls: dict[str, Callable[..., bytes]] = {
            method: channel.unary_unary(f"/BankService/{method}") for method in MESSAGES
        }

        def send(method: str, data: bytes) -> None:
            try:
                reply = calls[method](data, timeout=30)
            except grpc.RpcError as error:
                code = check_error(error)
            else:
                code = "OK"
                # All replies have the balance, but under different field numbers.
                kind: Any = {
                    "CreateAccount": bank_pb2.AccountResponse,
                    "GetBalance": bank_pb2.BalanceResponse,
                }.get(method, bank_pb2.TransactionResponse)
                cents = round(kind.FromString(reply).balance * 100)
                ledger.acknowledge(method, MESSAGES[method].FromString(data), cents)
            codes[code] = codes.get(code, 0) + 1

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,  # the examples share a bank, so a single one need not fail again
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(requests, min_size=REQUESTS_EACH, max_size=REQUESTS_EACH))
        def send_generated(batch: list[tuple[str, bytes]]) -> None:
            for request in batch:
                send(*request)

        for name in ACCOUNTS:
            create = bank_pb2.AccountRequest(account_id=name, account_type="savings")
            deposit = bank_pb2.DepositRequest(account_id=name, amount=1000)
            send("CreateAccount", create.SerializeToString())
            send("Deposit", deposit.SerializeToString())
        send_generated()

    assert sum(codes.values()) >= 2000
    assert codes["OK"] > 50  # otherwise few balances were at risk
    assert codes["INVALID_ARGUMENT"] > 500
    stored = {
        key.removeprefix("bank:{").removesuffix("}:account"): int(bank.redis.hget(key, "balance"))  # type: ignore[arg-type]
        for key in bank.redis.scan_iter("bank:*:account", count=1000)
    }
    assert stored == ledger.balances


@pytest.mark.parametrize("method", sorted(MESSAGES))
def test_errors_do_not_echo_what_was_sent(bank: bankkit.Bank, method: str) -> None:
    """An echo of 100 kB would not fit into the metadata, and gRPC would drop the whole error."""
    sent = "x" * 100_000
    request = MESSAGES[method](account_id=sent)
    with pytest.raises(grpc.RpcError) as refused:
        getattr(bank.stub, method)(request)
    assert check_error(refused.value) == "INVALID_ARGUMENT"


def test_a_message_past_grpcs_own_limit(bank: bankkit.Bank) -> None:
    """gRPC refuses the message before the bank sees it: RESOURCE_EXHAUSTED, and no ErrorInfo."""
    bank.client.create_account("after-5-MB")
    request = bank_pb2.DepositRequest(account_id="x" * 5_000_000, amount=1)
    with pytest.raises(grpc.RpcError) as refused:
        bank.stub.Deposit(request)
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert bank.client.deposit("after-5-MB", 1).balance == 1


@pytest.mark.parametrize("seconds", [0, -1, -1e9, 1e-9])
def test_a_deadline_that_is_over(bank: bankkit.Bank, seconds: float) -> None:
    """On a busy machine the client's timer fires late, so the reply may come first."""
    account_id = f"late{seconds}"
    bank.client.create_account(account_id)
    request = bank_pb2.DepositRequest(account_id=account_id, amount=1, request_id="late")
    call = bank.stub.Deposit.future(request, timeout=seconds)
    assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)
    # The call may or may not have been applied. A retry moves the money once in either case.
    assert bank.stub.Deposit(request).balance == 1
    assert bank.client.get_balance(account_id).balance == 1


@pytest.mark.parametrize("seconds", [None, 1e9])
def test_a_deadline_that_never_comes(bank: bankkit.Bank, seconds: float | None) -> None:
    account_id = f"early{seconds}"
    bank.client.create_account(account_id)
    request = bank_pb2.DepositRequest(account_id=account_id, amount=1)
    assert bank.stub.Deposit(request, timeout=seconds).balance == 1
    eventually_idle(bank)
    with bank.server.teller.locks.write(account_id):  # waiting for the lock accepts any deadline
        call = bank.stub.Deposit.future(request, timeout=seconds)
        eventually(lambda: bank.server.load == 1)
    assert call.result().balance == 2


@pytest.mark.parametrize("seconds", [1e10, 9e18, math.inf])
def test_a_deadline_past_what_grpc_counts(bank: bankkit.Bank, seconds: float) -> None:
    """From 2^63 ns on, gRPC's Python client treats the deadline as expired and sends nothing."""
    account_id = f"past{seconds}".replace("+", "-")
    bank.client.create_account(account_id)
    request = bank_pb2.DepositRequest(account_id=account_id, amount=1, request_id="once")
    call = bank.stub.Deposit.future(request, timeout=seconds)
    assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert bank.stub.Deposit(request).balance == 1
    assert bank.client.get_balance(account_id).balance == 1
