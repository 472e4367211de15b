"""The message types of another version, which lesson 02 makes."""

from typing import Any

import pytest

from bankkit.lab.lessons.lesson_02 import message_type
from bankkit.pb import bank_pb2

TODAY = "string account_id = 1; double balance = 2; string message = 3;"


def test_a_type_from_its_fields_speaks_the_banks_bytes() -> None:
    values: dict[str, Any] = {
        "account_id": "alice",
        "balance": 12.5,
        "message": "Balance retrieved.",
    }
    ours = message_type("BalanceResponse", TODAY)(**values)
    assert ours.SerializeToString() == bank_pb2.BalanceResponse(**values).SerializeToString()


def test_the_banks_own_type_stays_as_it_is() -> None:
    """Two types with one name in one pool would clash, at once or when the cell runs again."""
    before = bank_pb2.BalanceResponse.DESCRIPTOR.file.serialized_pb
    for _ in range(2):
        assert len(message_type("BalanceResponse", "double fee = 2;").DESCRIPTOR.fields) == 1
    assert bank_pb2.BalanceResponse.DESCRIPTOR.file.serialized_pb == before


@pytest.mark.parametrize(
    "fields", ["int32 a = 1;", "string a = 1", "string = 1;", "string a = x;", TODAY + " double"]
)
def test_a_malformed_list_of_fields_is_refused(fields: str) -> None:
    with pytest.raises(ValueError, match="fields must look like 'string id = 1;"):
        message_type("BalanceResponse", fields)
