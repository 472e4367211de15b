# %% The whole key
# expects: as if the whole key counted. Only the text between the braces
from binascii import crc_hqx


def slot_of(key):
    return crc_hqx(key.encode(), 0) % 16384


# %% A brace that is never closed
# expects: A brace that is never closed
from binascii import crc_hqx


def slot_of(key):
    if "{" in key:
        key = key[key.find("{") + 1 : key.find("}")]
    return crc_hqx(key.encode(), 0) % 16384


# %% The first closing brace
# expects: a `}` before it means nothing
from binascii import crc_hqx


def slot_of(key):
    if "{" in key and "}" in key:
        key = key[key.find("{") + 1 : key.find("}")]
    return crc_hqx(key.encode(), 0) % 16384


# %% An empty tag
# expects: There is no text between the braces
from binascii import crc_hqx


def slot_of(key):
    first = key.find("{")
    last = key.find("}", first)
    if first >= 0 and last >= 0:
        key = key[first + 1 : last]
    return crc_hqx(key.encode(), 0) % 16384


# %% The first tag that is not empty
# expects: A later pair does not matter
import re
from binascii import crc_hqx


def slot_of(key):
    tag = re.search(r"\{([^}]+)\}", key)
    return crc_hqx((tag[1] if tag else key).encode(), 0) % 16384


# %% The last pair of braces
# expects: Only the first pair of braces counts
from binascii import crc_hqx


def slot_of(key):
    first, last = key.rfind("{"), key.rfind("}")
    if 0 <= first < last - 1:
        key = key[first + 1 : last]
    return crc_hqx(key.encode(), 0) % 16384


# %% No division
# expects: only the slots 0 to 16383
from binascii import crc_hqx


def slot_of(key):
    first = key.find("{")
    last = key.find("}", first + 1)
    if first >= 0 and last > first + 1:
        key = key[first + 1 : last]
    return crc_hqx(key.encode(), 0)
