# %% The function of redis-py
from redis.crc import key_slot


def slot_of(key):
    return key_slot(key.encode())


# %% partition
from binascii import crc_hqx


def slot_of(key):
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    counts = tag if opened and closed and tag else key
    return crc_hqx(counts.encode(), 0) % 16384


# %% A regular expression
import re
from binascii import crc_hqx


def slot_of(key):
    found = re.match(r"[^{]*\{([^}]+)\}", key)
    return crc_hqx((found.group(1) if found else key).encode(), 0) & 0x3FFF


# %% Bytes, index, and a CRC by hand
def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def slot_of(key):
    data = key.encode()
    try:
        first = data.index(b"{") + 1
        data = data[first : data.index(b"}", first)] or data
    except ValueError:
        pass
    return divmod(crc16(data), 2**14)[1]


# %% Character by character
from binascii import crc_hqx


def slot_of(key):
    tag = None
    for character in key:
        if tag is None:
            tag = "" if character == "{" else None
        elif character == "}":
            key = tag or key
            break
        else:
            tag += character
    return crc_hqx(bytes(key, "utf-8"), 0) % (1 << 14)
