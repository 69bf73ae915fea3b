# What the values of quantized blocks are, from the description of ggml's types, bit by bit: a separate account, which
# shares no code with modc's reader. Standard input has {type: hexadecimal blocks}; answers are f32 in hexadecimal,
# little-endian. Each step is rounded to f32, as ggml computes.
import json
import struct
import sys


def half(block, at):
    return struct.unpack_from("<e", block, at)[0]


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def bits(data, first, count):
    """A whole number of `count` bits, from bit `first` of a string of bytes, the lowest bit of each byte first."""
    return int.from_bytes(data, "little") >> first & (1 << count) - 1


def plain(letter):
    return lambda block: [struct.unpack("<" + letter, block)[0]]


def bf16(block):
    return [struct.unpack("<f", b"\0\0" + block)[0]]


def nibbles(data):
    """Of 16 bytes: the lower halves, then the upper ones."""
    return [bits(data, 8 * (i % 16) + 4 * (i // 16), 4) for i in range(32)]


def q8_0(block):
    return [f32(half(block, 0) * q) for q in struct.unpack_from("<32b", block, 2)]


def q4_0(block):
    return [f32(half(block, 0) * (q - 8)) for q in nibbles(block[2:])]


def q4_1(block):
    return [f32(f32(half(block, 0) * q) + half(block, 2)) for q in nibbles(block[4:])]


def q5_0(block):
    fives = [q + 16 * bits(block[2:6], i, 1) for i, q in enumerate(nibbles(block[6:]))]
    return [f32(half(block, 0) * (q - 16)) for q in fives]


def q5_1(block):
    fives = [q + 16 * bits(block[4:8], i, 1) for i, q in enumerate(nibbles(block[8:]))]
    return [f32(f32(half(block, 0) * q) + half(block, 2)) for q in fives]


def six_bits(packed):
    """Eight scales and eight minima of 6 bits in 12 bytes."""
    scales, minima = [], []
    for j in range(8):
        if j < 4:
            scales.append(bits(packed[j : j + 1], 0, 6))
            minima.append(bits(packed[j + 4 : j + 5], 0, 6))
        else:
            scales.append(bits(packed[j + 4 : j + 5], 0, 4) + 16 * bits(packed[j - 4 : j - 3], 6, 2))
            minima.append(bits(packed[j + 4 : j + 5], 4, 4) + 16 * bits(packed[j : j + 1], 6, 2))
    return scales, minima


def with_minima(block, quantum):
    scales, minima = six_bits(block[4:16])
    d, dmin = half(block, 0), half(block, 2)
    return [
        f32(f32(f32(d * scales[j]) * quantum(j, i)) - f32(dmin * minima[j])) for j in range(8) for i in range(32)
    ]


def q4_k(block):
    return with_minima(block, lambda j, i: bits(block[16 + 32 * (j // 2) + i : 17 + 32 * (j // 2) + i], 4 * (j % 2), 4))


def q5_k(block):
    low = lambda j, i: bits(block[48 + 32 * (j // 2) + i : 49 + 32 * (j // 2) + i], 4 * (j % 2), 4)
    return with_minima(block, lambda j, i: low(j, i) + 16 * bits(block[16 + i : 17 + i], j, 1))


def q6_k(block):
    d = half(block, 208)
    scales = struct.unpack_from("<16b", block, 192)
    values = []
    for n in range(2):
        low, high = block[64 * n : 64 * n + 64], block[128 + 32 * n : 160 + 32 * n]
        for quarter in range(4):
            for l in range(32):
                byte = low[l + 32 * (quarter % 2) : l + 32 * (quarter % 2) + 1]
                q = bits(byte, 4 * (quarter // 2), 4) + 16 * bits(high[l : l + 1], 2 * quarter, 2) - 32
                values.append(f32(f32(d * scales[8 * n + 2 * quarter + l // 16]) * q))
    return values


def q2_k(block):
    d, dmin = half(block, 80), half(block, 82)
    values = []
    for n in range(2):
        for quarter in range(4):
            for l in range(32):
                group = 8 * n + 2 * quarter + l // 16
                q = bits(block[16 + 32 * n + l : 17 + 32 * n + l], 2 * quarter, 2)
                scale, least = bits(block[group : group + 1], 0, 4), bits(block[group : group + 1], 4, 4)
                values.append(f32(f32(f32(d * scale) * q) - f32(dmin * least)))
    return values


def q3_k(block):
    d, packed = half(block, 108), block[96:108]
    low = [bits(packed, 8 * (j % 8) + 4 * (j // 8), 4) for j in range(16)]
    high = [bits(packed, 64 + 8 * (j % 4) + 2 * (j // 4), 2) for j in range(16)]
    values = []
    for i in range(256):
        n, quarter, l = i // 128, i // 32 % 4, i % 32
        q = bits(block[32 + 32 * n + l : 33 + 32 * n + l], 2 * quarter, 2)
        if not bits(block[l : l + 1], 4 * n + quarter, 1):
            q -= 4
        values.append(f32(f32(d * (low[i // 16] + 16 * high[i // 16] - 32)) * q))
    return values


def iq4_nl(block):
    table = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
    return [f32(half(block, 0) * table[q]) for q in nibbles(block[2:])]


def mxfp4(block):
    """Floats with a sign, two bits of an exponent, and a bit of a fraction; the exponent 0 is subnormal."""
    values = []
    for q in nibbles(block[1:]):
        sign, exponent, fraction = -1.0 if q & 8 else 1.0, q >> 1 & 3, q & 1
        magnitude = fraction / 2 if exponent == 0 else 2.0 ** (exponent - 1) * (1 + fraction / 2)
        values.append(f32(sign * magnitude * 2.0 ** (block[0] - 127)))
    return values


TYPES = {
    "F32": (4, plain("f")),
    "F16": (2, plain("e")),
    "BF16": (2, bf16),
    "Q8_0": (34, q8_0),
    "Q4_0": (18, q4_0),
    "Q4_1": (20, q4_1),
    "Q5_0": (22, q5_0),
    "Q5_1": (24, q5_1),
    "Q2_K": (84, q2_k),
    "Q3_K": (110, q3_k),
    "Q4_K": (144, q4_k),
    "Q5_K": (176, q5_k),
    "Q6_K": (210, q6_k),
    "IQ4_NL": (18, iq4_nl),
    "MXFP4": (17, mxfp4),
}

answers = {}
for name, blocks in json.load(sys.stdin).items():
    size, values_of = TYPES[name]
    data = bytes.fromhex(blocks)
    values = [value for at in range(0, len(data), size) for value in values_of(data[at : at + size])]
    answers[name] = struct.pack("<%df" % len(values), *values).hex()
json.dump(answers, sys.stdout)
