"""gRPC does not use the proxy of a campus for connections to this machine."""

import pytest

from tests.support.processes import free_port, home, python

BANK = """
import bankkit
with bankkit.Bank() as bank:
    with bankkit.connect(bank.address.replace("127.0.0.1", "localhost")) as client:
        client.create_account("alice")
    with bankkit.connect(f"{bank.address},{bank.address}") as client:
        print(client.get_balance("alice").balance, flush=True)
    import grpc, os
    from bankkit.pb import bank_pb2, bank_pb2_grpc
    with grpc.insecure_channel(bank.address) as channel:
        stub = bank_pb2_grpc.BankServiceStub(channel)
        request = bank_pb2.AccountRequest(account_id="alice")
        print(stub.GetBalance(request, timeout=60).balance, flush=True)
    print(os.environ["no_grpc_proxy"], flush=True)
"""

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    ("set_before", "exceptions"),
    [
        ({}, LOOPBACK),
        ({"no_proxy": "campus.example"}, f"campus.example,{LOOPBACK}"),
        ({"no_grpc_proxy": "campus.example"}, f"campus.example,{LOOPBACK}"),
        ({"no_grpc_proxy": "a.example", "no_proxy": "b.example"}, f"a.example,{LOOPBACK}"),
        ({"no_grpc_proxy": "", "NO_PROXY": "c.example"}, LOOPBACK),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", ["", "import grpc"], ids=["bankkit first", "grpc first"])
def test_what_was_set_before(set_before: dict[str, str], exceptions: str, first: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    proxies = {"http_proxy": nobody, "https_proxy": nobody, "grpc_proxy": nobody}
    with home() as place:
        environ = {name: its for name, its in place.environ.items() if "proxy" not in name.lower()}
        process = python(first + BANK, environ | proxies | set_before)
    with process:
        assert process.line() == "0.0", process.errors()
        assert process.line() == "0.0", process.errors()
        assert process.line() == exceptions
        assert process.wait() == 0
