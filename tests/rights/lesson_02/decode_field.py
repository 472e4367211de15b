# %% A stream of bytes
import io


def decode_field(data):
    stream = io.BytesIO(data)

    def varint(shift=0):
        (byte,) = stream.read(1)
        rest = varint(shift + 7) if byte & 0x80 else 0
        return (byte & 0x7F) << shift | rest

    number = varint() // 8
    return number, stream.read(varint())


# %% An iterator
def decode_field(data):
    left = iter(data)

    def varint():
        number = 0
        for place, byte in enumerate(left):
            number += byte % 128 * 128**place
            if byte < 128:
                return number

    tag = varint()
    return [tag >> 3, bytes(next(left) for _ in range(varint()))]


# %% protobuf's own reader of varints
from google.protobuf.internal.decoder import _DecodeVarint


def decode_field(data):
    tag, at = _DecodeVarint(data, 0)
    length, at = _DecodeVarint(data, at)
    return divmod(tag, 8)[0], data[at:][:length]


# %% An empty message type, which keeps unknown fields
from google.protobuf import empty_pb2, unknown_fields


def decode_field(data):
    message = empty_pb2.Empty.FromString(data)
    first = unknown_fields.UnknownFieldSet(message)[0]
    return first.field_number, first.data
