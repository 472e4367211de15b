"""Lesson 02, get balance: its questions, and message types of another version."""

import re
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from bankkit import Bank
from bankkit.lab import Exercise, Prediction, Wrong
from bankkit.pb import bank_pb2

TITLE = "Get balance"


def message_type(name: str, fields: str) -> type[Message]:
    """Make a message type from proto3 fields, such as `string id = 1; double x = 2;`.

    Each type gets its own descriptor pool: in the default pool, a second `BalanceResponse` would
    clash with the bank's. Raises ValueError unless `fields` is a list of string and double fields.
    """
    found = re.findall(r"\s*(string|double)\s+(\w+)\s*=\s*(\d+)\s*;", fields)
    if "".join(f"{kind}{field}={number};" for kind, field, number in found) != re.sub(
        r"\s+", "", fields
    ):
        raise ValueError(f"fields must look like 'string id = 1; double x = 2;', not {fields!r}")
    file = descriptor_pb2.FileDescriptorProto(name="lesson.proto", syntax="proto3")
    made = file.message_type.add(name=name)
    for kind, field, number in found:
        made.field.add(
            name=field,
            number=int(number),
            type=descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}"),
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    made_class: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return made_class


PREDICTIONS = (
    Prediction(
        id="02.unknown",
        question="Nobody has opened account `bob`. What does `GetBalance` return for `bob`?",
        options={
            "0.0": "`0.0`: no account, no money.",
            "NOT_FOUND": "An error, `NOT_FOUND`.",
            "INVALID_ARGUMENT": "An error, `INVALID_ARGUMENT`: the request is wrong.",
        },
        expects="NOT_FOUND",
        why="An empty account and no account are two different answers, so the bank gives two: "
        "`0.0` and `NOT_FOUND`.\n\n"
        "`INVALID_ARGUMENT` would be wrong: the request is well formed. Once you open the account, "
        "the same request succeeds.",
    ),
    Prediction(
        id="02.readers",
        question="Now the bank uses its read–write lock, and the same five clients read the same "
        "account. How many of them hold the lock at the same time, at most?",
        options={
            "5": "5: all of them.",
            "2": "2: one reads, and the lock lets in the next one early.",
            "1": "1: a lock lets in one at a time.",
        },
        expects="5",
        why="A read changes nothing, so readers cannot disturb one another. The read lock lets in "
        "any number of them.\n\n"
        "Each reader here waited until all five were inside. If the lock had kept even one of them "
        "out, the cell would have failed.",
    ),
    Prediction(
        id="02.zero",
        question="`balance` is a double, and a double has 8 bytes. How many bytes does an empty "
        "account's `balance = 0.0` take in the reply?",
        options={
            "9": "9: a tag and the 8 bytes.",
            "0": "0: it is not sent at all.",
            "1": "1: a tag alone says that it is zero.",
        },
        expects="0",
        why="In proto3 a plain field that has its default value (0, an empty text) is not sent. "
        "The reader finds no such field and uses the default.\n\n"
        "So the bytes do not distinguish an empty account from a balance that somebody forgot to "
        "set. This is another reason why `no such account` must be a status, not a zero.",
    ),
    Prediction(
        id="02.old_reader",
        question="An old client gets a reply with a field that it does not know, and passes the "
        "message on. What happens to the new field?",
        options={
            "error": "The old client cannot parse the message at all.",
            "kept": "The old client reads the rest and passes on the new field, too.",
            "lost": "The old client reads the rest; the new field is lost.",
        },
        expects="kept",
        why="Each field begins with its number and its wire type. The wire type says how long the "
        "field is, so the old client can skip a field that it does not know.\n\n"
        "It keeps the bytes of unknown fields, and sends them when it sends the message.",
    ),
    Prediction(
        id="02.reused",
        question="The new server no longer has the field `balance = 2`; number 2 is now `fee`, "
        "also a double. It sends a fee of 1.5. What does the old client show as the balance?",
        options={
            "error": "Nothing: it gets an error.",
            "0.0": "`0.0`: there is no balance in the message.",
            "1.5": "`1.5`.",
        },
        expects="1.5",
        why="Only field numbers are sent, not names. For the old client number 2 is the balance, "
        "and the fee has the same wire type.\n\n"
        "There is no error and no warning, only a wrong number on the screen. So never use a field "
        "number twice. With `reserved 2;` in the `.proto` file, the compiler enforces this.",
    ),
)


# --- 02.balance_or_none --------------------------------------------------------------------------


def check_balance_or_none(balance_or_none: Any, bank: Any) -> None:
    """Raise `Wrong` unless only NOT_FOUND becomes `None`, and an empty account gives 0.0."""
    bank.client.create_account("rich")
    bank.client.deposit("rich", 7.25)
    bank.client.create_account("empty")
    got = balance_or_none(bank.stub, "rich")
    if got != 7.25:
        raise Wrong(f"Account `rich` has 7.25 dollars, but your function returns {_short(got)}.")
    got = balance_or_none(bank.stub, "empty")
    if got is None:
        raise Wrong(
            "Account `empty` exists and holds 0.0, but your function returns `None`, as if there "
            "were no such account. Zero counts as false in Python: do not use `or` or a bare "
            "`if balance`."
        )
    if isinstance(got, bool) or got != 0.0:
        raise Wrong(f"Account `empty` has 0.0 dollars, but your function returns {_short(got)}.")
    got = balance_or_none(bank.stub, "nobody")
    if got is not None:
        raise Wrong(
            f"There is no account `nobody`, so the result must be `None`, but it is {_short(got)}. "
            "A missing account is not an empty one."
        )
    try:
        got = balance_or_none(bank.stub, "not an id!")
    except grpc.RpcError:
        return
    raise Wrong(
        f"For the id `not an id!` the bank answers INVALID_ARGUMENT; your function hides that and "
        f"returns {_short(got)}. Only NOT_FOUND may become `None`: raise every other error again "
        "with `raise`."
    )


def _short(value: Any) -> str:
    text = repr(value)
    return f"`{text[:60]}{'…' if len(text) > 60 else ''}`"


# --- 02.decode_field -----------------------------------------------------------------------------


def check_decode_field(decode_field: Any) -> None:
    """Raise `Wrong` unless each message's first field is decoded, large numbers included."""
    for message, number, payload in (
        (bank_pb2.AccountRequest(account_id="alice"), 1, b"alice"),
        (bank_pb2.AccountRequest(account_type="savings"), 2, b"savings"),
        (bank_pb2.AccountRequest(account_id="bob", account_type="checking"), 1, b"bob"),
        (bank_pb2.DepositRequest(request_id="r" * 200), 3, b"r" * 200),
        (message_type("Receipt", "string note = 1000;")(note="paid"), 1000, b"paid"),
    ):
        data = message.SerializeToString()
        shown = f"`{data[:10].hex(' ')}{' …' if len(data) > 10 else ''}`"
        got = decode_field(data)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Wrong(
                f"For {shown} the result must be a pair `(number, payload)`, but is {_short(got)}."
            )
        _check_number(got[0], number, data, shown)
        _check_payload(got[1], payload, data, shown)


def _check_number(got: Any, number: int, data: bytes, shown: str) -> None:
    if not isinstance(got, int) or isinstance(got, bool):
        raise Wrong(f"In {shown} the field number must be a whole number, but is {_short(got)}.")
    if got == number:
        return
    if got == data[0]:
        raise Wrong(
            f"In {shown} you return field {got}: that is the whole tag. Its lowest three bits are "
            "the wire type; remove them with `tag >> 3`."
        )
    if got == data[1]:
        raise Wrong(
            f"In {shown} you return field {got}: that is the length, the second byte. The field "
            "number is in the tag, which comes first."
        )
    if got == data[0] & 7:
        raise Wrong(
            f"In {shown} you return field {got}: that is the wire type, the lowest three bits of "
            "the tag. The field number is in the bits above them."
        )
    if number > 15:
        raise Wrong(
            f"In {shown} the field number is {number}, but you return {got}. A number above 15 "
            "needs a tag of two bytes: read it with `read_varint`, as you read the length."
        )
    raise Wrong(f"In {shown} the field number is {number}, but you return {got}.")


def _check_payload(got: Any, payload: bytes, data: bytes, shown: str) -> None:
    if isinstance(got, str):
        raise Wrong(f"For {shown} the payload must be bytes, but is text: do not decode it yet.")
    if not isinstance(got, bytes):
        raise Wrong(f"For {shown} the payload must be bytes, but is {_short(got)}.")
    if got == payload:
        return
    if len(payload) > 127:
        raise Wrong(
            f"{shown} carries {len(payload)} bytes, but you return {len(got)}. A length above 127 "
            "needs two bytes: read it with `read_varint`."
        )
    if data.endswith(got) and len(got) > len(payload):
        raise Wrong(
            f"For {shown} you return all the rest, {_short(got)}. Return only the number of bytes "
            "that the length gives: another field may follow."
        )
    raise Wrong(f"For {shown} the payload is {payload!r}, but you return {_short(got)}.")


EXERCISES = (
    Exercise(
        id="02.balance_or_none",
        title="A missing account is not an empty one",
        task="Write `balance_or_none(stub, account_id)`: it returns the balance of the account, or "
        "`None` if there is no such account.\n\n"
        "Every other error must reach the caller unchanged.",
        stub="def balance_or_none(stub, account_id):\n    pass\n",
        hints=(
            "Call `stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id))` in a `try`, "
            "and `except grpc.RpcError as error`.",
            "`error.code()` is a `grpc.StatusCode`. Compare it with `grpc.StatusCode.NOT_FOUND`.",
            "For every other code, a bare `raise` raises the same error again.",
        ),
        answer="""\
import grpc
from bankkit.pb import bank_pb2


def balance_or_none(stub, account_id):
    request = bank_pb2.AccountRequest(account_id=account_id)
    try:
        return stub.GetBalance(request).balance
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
""",
        check=check_balance_or_none,
        right="A missing account, an empty account and a failed call are three different results, "
        "and your caller can tell them apart.",
        bank=Bank,
    ),
    Exercise(
        id="02.decode_field",
        title="Read a message byte by byte",
        task="Write `decode_field(data)`: it returns the first field of a message's bytes, as a "
        "pair `(number, payload)`.\n\n"
        "The field is a text (wire type 2), so it consists of a tag, a length and that many bytes; "
        "both tag and length are varints. Return the payload as bytes. For "
        "`0a 05 61 6c 69 63 65` the result is `(1, b'alice')`.",
        stub="def decode_field(data):\n    pass\n",
        hints=(
            "Begin with `tag, at = read_varint(data, 0)`. Then read the length in the same way, "
            "from `at`.",
            "The tag is `number << 3 | wire_type`. To get the number, shift the other way.",
            "The payload is `data[at : at + length]`, without the bytes that follow.",
        ),
        answer='''\
def read_varint(data, at):
    """Return the number that begins at data[at], and the position after it."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def decode_field(data):
    tag, at = read_varint(data, 0)
    length, at = read_varint(data, at)
    return tag >> 3, data[at : at + length]
''',
        check=check_decode_field,
        right="You decoded tag, length and bytes, as every gRPC server in the world does.",
    ),
)
