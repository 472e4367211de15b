# %% The whole tag as the number
# expects: that is the whole tag
def decode_field(data):
    return data[0], data[2:7]


# %% The length as the number
# expects: that is the length
def decode_field(data):
    return data[1], data[2:7]


# %% The wire type as the number
# expects: is the wire type
def decode_field(data):
    return data[0] & 7, data[2:]


# %% Everything after the length
# expects: all the rest
def decode_field(data):
    return data[0] >> 3, data[2:]


# %% A length of one byte
# expects: needs two bytes
def decode_field(data):
    return data[0] >> 3, data[2 : 2 + data[1]]


# %% Decodes the payload
# expects: must be bytes, but is text
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
    return tag >> 3, data[at : at + length].decode()


# %% A tag of one byte
# expects: a tag of two bytes
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
    length, at = read_varint(data, 1)
    return data[0] >> 3, data[at : at + length]
