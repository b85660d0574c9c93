"""What the vectors are about: inputs by name. What must come out is calculated in `model` from the specification; where a
number stands here beside an input (`damage`), it was worked out by hand and must agree.
"""

from model import MAGIC, crc32c, encode_datagram, encode_message, frame

HI = frame(b"hi")
EMPTY = frame(b"")
MODBUS = bytes.fromhex("010304000a000b9bf6")
DATA = encode_message({"kind": "DATA", "seq": 7, "channel": 0, "body": MODBUS.hex()})
PING = encode_message({"kind": "PING", "nonce": "00000000075bcd15"})


def flip(data: bytes, at: int, mask: int) -> bytes:
    """`data` with the bits of `mask` changed in the byte at `at`."""
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def header(length: int, guard: int | None = None) -> bytes:
    """A header, sound unless `guard` is given."""
    guard = length ^ 0xFFFF if guard is None else guard
    return MAGIC + length.to_bytes(2, "big") + guard.to_bytes(2, "big")


def counting(length: int) -> bytes:
    """The bytes 00 01 02 and so on."""
    return bytes(i % 256 for i in range(length))


# name, payload; or name, byte, count
FRAMES = [
    ("empty", b""),
    ("one zero byte", b"\x00"),
    ("one byte of ones", b"\xff"),
    ("two characters", b"hi"),
    ("three bytes", b"abc"),
    ("the check input of the checksum", b"123456789"),
    ("seven bytes", counting(7)),
    ("eight bytes", counting(8)),
    ("nine bytes", counting(9)),
    ("fifteen bytes", counting(15)),
    ("sixteen bytes", counting(16)),
    ("seventeen bytes", counting(17)),
    ("thirty-two zero bytes", bytes(32)),
    ("thirty-two bytes of ones", b"\xff" * 32),
    ("sixty-three bytes", counting(63)),
    ("sixty-four bytes", counting(64)),
    ("sixty-five bytes", counting(65)),
    ("every byte once", counting(256)),
    ("the magic alone", MAGIC),
    ("the first half of the magic", MAGIC[:1]),
    ("magic upon magic", MAGIC * 8),
    ("a whole frame as cargo", HI),
    ("UTF-8 text", "21,5 °C · 水位 3 m".encode()),
    ("a Modbus RTU reply", MODBUS),
    ("a DATA message", DATA),
    ("length of 255", 0x5A, 255),
    ("length of 256", 0x5A, 256),
    ("length of 257", 0x5A, 257),
    ("length that reads as the magic", 0x01, 0xD755),
    ("guard that reads as the magic", 0x02, 0x28AA),
    ("length with its top bit alone", 0x33, 0x8000),
    ("one byte below the longest", 0xA5, 65534),
    ("the longest payload", 0xA5, 65535),
    ("the longest payload of zero bytes", 0x00, 65535),
]

RESUME = {"stream": "0123456789abcdef", "send_base": 5, "peer_stream": "fedcba9876543210", "receive_next": 9}
FRESH = {"stream": "8000000000000001", "send_base": 0, "peer_stream": "0" * 16, "receive_next": 0}
FULL = {"stream": "f" * 16, "send_base": 2**32 - 1, "peer_stream": "f" * 16, "receive_next": 2**32 - 1}


def register(device_id="meter-0001", token="", resume=FRESH, version=1, flags=0):
    """A REGISTER as a table."""
    fields = {"version": version, "flags": flags, "device_id": device_id, "token": token, "resume": resume}
    return {"kind": "REGISTER", **fields}


MESSAGES = [
    ("REGISTER of a new device", register()),
    ("REGISTER that resumes", register(token=b"secret".hex(), resume=RESUME)),
    ("REGISTER, id of 1 byte", register("7")),
    ("REGISTER, id of 64 bytes", register("m" * 64)),
    ("REGISTER, id of 64 bytes in 32 characters", register("é" * 32)),
    ("REGISTER, id in Chinese", register("水表-42")),
    ("REGISTER, id with a character of four bytes", register("pump 🛢")),
    ("REGISTER, id of one zero byte", register("\0")),
    ("REGISTER, token of 255 bytes", register(token=counting(255).hex())),
    ("REGISTER, all numbers at their most", register(resume=FULL, version=255, flags=255)),
    ("WELCOME", {"kind": "WELCOME", "heartbeat_ms": 30000, "window": 64, "resume": RESUME}),
    ("WELCOME, all numbers 0", {"kind": "WELCOME", "heartbeat_ms": 0, "window": 0, "resume": {**FRESH, "stream": "0" * 16}}),
    ("WELCOME, all numbers at their most", {"kind": "WELCOME", "heartbeat_ms": 2**32 - 1, "window": 65535, "resume": FULL}),
    ("REFUSE, protocol", {"kind": "REFUSE", "code": 1, "retry_after_ms": 0, "reason": ""}),
    ("REFUSE, unauthorized", {"kind": "REFUSE", "code": 2, "retry_after_ms": 3600000, "reason": "unknown device"}),
    ("REFUSE, busy, reason of 255 bytes", {"kind": "REFUSE", "code": 3, "retry_after_ms": 2**32 - 1, "reason": "x" * 255}),
    ("REFUSE, code without a name", {"kind": "REFUSE", "code": 200, "retry_after_ms": 1, "reason": "später"}),
    ("PING", {"kind": "PING", "nonce": "00000000075bcd15"}),
    ("PING, all bits set", {"kind": "PING", "nonce": "f" * 16}),
    ("PONG", {"kind": "PONG", "nonce": "00000000075bcd15"}),
    ("PONG, above 2^53", {"kind": "PONG", "nonce": "0020000000000001"}),
    ("DATA with a Modbus RTU reply", {"kind": "DATA", "seq": 7, "channel": 0, "body": MODBUS.hex()}),
    ("DATA without a body", {"kind": "DATA", "seq": 0, "channel": 0, "body": ""}),
    ("DATA, numbers at their most", {"kind": "DATA", "seq": 2**32 - 1, "channel": 255, "body": "ff"}),
    ("DATA that carries a whole frame", {"kind": "DATA", "seq": 1, "channel": 2, "body": HI.hex()}),
    ("ACK of nothing", {"kind": "ACK", "receive_next": 0}),
    ("ACK", {"kind": "ACK", "receive_next": 42}),
    ("ACK at its most", {"kind": "ACK", "receive_next": 2**32 - 1}),
    ("CLOSE, done", {"kind": "CLOSE", "code": 0, "reason": ""}),
    ("CLOSE, protocol", {"kind": "CLOSE", "code": 1, "reason": "DATA before REGISTER"}),
    ("CLOSE, going down, in Cyrillic", {"kind": "CLOSE", "code": 2, "reason": "перезагрузка"}),
    ("CLOSE, timed out, reason of 255 bytes", {"kind": "CLOSE", "code": 3, "reason": "é" * 127 + "e"}),
    ("CLOSE, replaced", {"kind": "CLOSE", "code": 4, "reason": "replaced"}),
    ("CLOSE, code without a name", {"kind": "CLOSE", "code": 255, "reason": ""}),
    ("CHALLENGE", {"kind": "CHALLENGE", "nonce": counting(16).hex()}),
    ("PROOF", {"kind": "PROOF", "mac": counting(32)[::-1].hex()}),
    ("SKIP", {"kind": "SKIP", "next": 17}),
    ("SKIP at its most", {"kind": "SKIP", "next": 2**32 - 1}),
    ("unknown kind 00 without a body", {"kind": "UNKNOWN", "unknown_kind": 0, "body": ""}),
    ("unknown kind 0C, the first free one", {"kind": "UNKNOWN", "unknown_kind": 12, "body": "00"}),
    ("unknown kind FF with a body", {"kind": "UNKNOWN", "unknown_kind": 255, "body": counting(20).hex()}),
]


def _cuts():
    """Each kind with a field cut: the name, and the payload."""
    full = encode_message(register("ab", "c0de", RESUME))
    places = [(1, "version"), (2, "flags"), (3, "length of device_id"), (5, "device_id"), (6, "length of token")]
    places += [(7, "token"), (16, "stream"), (17, "send_base"), (24, "peer_stream"), (len(full) - 1, "receive_next")]
    yield from ((f"REGISTER cut in {field}", full[:at]) for at, field in places)
    full = encode_message({"kind": "WELCOME", "heartbeat_ms": 30000, "window": 64, "resume": RESUME})
    for at, field in [(4, "heartbeat_ms"), (6, "window"), (7, "stream"), (30, "receive_next")]:
        yield f"WELCOME cut in {field}", full[:at]
    full = encode_message({"kind": "REFUSE", "code": 3, "retry_after_ms": 1000, "reason": "busy"})
    for at, field in [(1, "code"), (5, "retry_after_ms"), (6, "length of reason"), (10, "reason")]:
        yield f"REFUSE cut in {field}", full[:at]
    full = encode_message({"kind": "CLOSE", "code": 0, "reason": "bye"})
    for at, field in [(1, "code"), (2, "length of reason"), (5, "reason")]:
        yield f"CLOSE cut in {field}", full[:at]
    yield "PING cut in nonce", PING[:8]
    yield "PONG cut in nonce", b"\x05"
    yield "DATA cut in seq", DATA[:4]
    yield "DATA cut in channel", DATA[:5]
    yield "ACK cut in receive_next", b"\x07\x00\x00"
    yield "CHALLENGE cut in nonce", b"\x09" + bytes(15)
    yield "PROOF cut in mac", b"\x0a" + bytes(31)
    yield "SKIP cut in next", b"\x0b\x00\x00\x01"


TAIL = bytes(24)

BAD_MESSAGES = [
    ("empty payload", b""),
    *_cuts(),
    ("REGISTER with a byte left over", encode_message(register()) + b"\0"),
    ("WELCOME with two bytes left over", b"\x02" + bytes(32)),
    ("REFUSE with a byte left over", b"\x03\x01\0\0\0\0\0!"),
    ("PING with a byte left over", PING + b"\0"),
    ("ACK with 60 bytes left over", b"\x07" + bytes(64)),
    ("CLOSE with a byte left over", b"\x08\0\0\0"),
    ("CHALLENGE as long as a PROOF", b"\x09" + bytes(32)),
    ("SKIP as wide as a PING", b"\x0b" + bytes(8)),
    ("REGISTER, id of no bytes", b"\x01\x01\0\0\0" + TAIL),
    ("REGISTER, id of 65 bytes", b"\x01\x01\0\x41" + b"m" * 65 + b"\0" + TAIL),
    ("REGISTER, id of 255 bytes", b"\x01\x01\0\xff" + b"m" * 255 + b"\0" + TAIL),
    ("REGISTER, id is not UTF-8 at its start", b"\x01\x01\0\x02\xd7\x55\0" + TAIL),
    ("REGISTER, id ends inside a character", b"\x01\x01\0\x03ab\xc3\0" + TAIL),
    ("REGISTER, id with a surrogate", b"\x01\x01\0\x04a\xed\xa0\x80\0" + TAIL),
    ("REGISTER, id with an overlong form", b"\x01\x01\0\x03a\xc0\xaf\0" + TAIL),
    ("REGISTER, id above U+10FFFF", b"\x01\x01\0\x04\xf4\x90\x80\x80\0" + TAIL),
    ("REGISTER, id both too long and not UTF-8", b"\x01\x01\0\x41" + b"m" * 64 + b"\xff\0" + TAIL),
    ("REGISTER, id of no bytes and nothing behind it", b"\x01\x01\0\0"),
    ("REFUSE, reason is not UTF-8", b"\x03\x02\0\0\0\0\x05no: \xff"),
    ("CLOSE, reason is not UTF-8, and a byte is left over", b"\x08\0\x01\x80\0"),
]

CRC32_OF_ETHERNET = bytes.fromhex("9884eb3d")  # over the first eight bytes of HI

# name, pieces of the stream, limit, cause of the first rejection, bytes skipped by it as the stream stands there whole
DAMAGE = [
    ("first byte of the magic flipped", [flip(HI, 0, 0x01)], 65535, "magic", 12),
    ("second byte of the magic flipped", [flip(HI, 1, 0x80)], 65535, "magic", 12),
    ("magic the wrong way round", [b"\x55\xd7" + HI[2:]], 65535, "magic", 12),
    ("first byte lost", [HI[1:]], 65535, "magic", 11),
    ("first byte doubled", [HI[:1] + HI], 65535, "magic", 1),
    ("a bit of the length flipped", [flip(HI, 3, 0x04)], 65535, "length_guard", 6),
    ("a bit of the guard flipped", [flip(HI, 4, 0x10)], 65535, "length_guard", 6),
    ("guard equal to the length", [header(2, 2), HI[6:]], 65535, "length_guard", 6),
    ("length and guard zero", [header(0, 0), bytes(4)], 65535, "length_guard", 6),
    ("a byte of the length lost", [HI[:2] + HI[3:]], 65535, "length_guard", 6),
    ("guard fault, magic doubled", [MAGIC + HI], 65535, "length_guard", 2),
    ("guard fault, a possible start at the end of the header", [header(0, 0xD7), HI[6:]], 65535, "length_guard", 5),
    ("guard fault, a frame begins inside the header", [header(5, 0)[:4], HI], 65535, "length_guard", 4),
    ("one byte over the limit", [frame(b"abc")], 2, "over_limit", 6),
    ("one byte where none is allowed", [frame(b"a")], 0, "over_limit", 6),
    ("the longest length against a limit", [header(65535)], 65534, "over_limit", 6),
    ("length and guard swapped, over a limit", [header(0xFFFD), HI[6:]], 1024, "over_limit", 6),
    ("length D7 55 over the limit", [header(0xD755), b"..."], 64, "over_limit", 2),
    ("length 28 AA over the limit: the guard is a possible start", [header(0x28AA), HI[2:]], 64, "over_limit", 4),
    ("guard and limit both wrong: the guard is judged first", [header(9999, 0)], 64, "length_guard", 6),
    ("a bit of the payload flipped", [flip(HI, 6, 0x20)], 65535, "checksum", 12),
    ("a bit of the checksum flipped", [flip(HI, 11, 0x01)], 65535, "checksum", 12),
    ("checksum zero", [HI[:8] + bytes(4)], 65535, "checksum", 12),
    ("checksum least significant byte first", [HI[:8] + HI[8:][::-1]], 65535, "checksum", 12),
    ("checksum over the payload alone", [HI[:8] + crc32c(b"hi").to_bytes(4, "big")], 65535, "checksum", 12),
    ("checksum not inverted at the end", [HI[:8] + bytes(b ^ 0xFF for b in HI[8:])], 65535, "checksum", 12),
    ("the CRC-32 of Ethernet", [HI[:8] + CRC32_OF_ETHERNET], 65535, "checksum", 12),
    ("two bytes of the payload swapped", [HI[:6] + b"ih" + HI[8:]], 65535, "checksum", 12),
    ("the empty frame with a wrong checksum", [EMPTY[:9] + b"\x96"], 65535, "checksum", 10),
    ("a byte of the payload lost, a frame behind", [HI[:7] + HI[8:], HI], 65535, "checksum", 11),
    ("a byte put into the payload, a frame behind", [HI[:7] + b"!" + HI[7:], HI], 65535, "checksum", 12),
    ("length and guard hit alike: shorter", [header(0), HI[6:]], 65535, "checksum", 10),
    ("length and guard hit alike: longer, a frame behind", [header(6), HI[6:], HI], 65535, "checksum", 12),
    ("a possible start at the end of a bad checksum", [HI[:11] + b"\xd7"], 65535, "checksum", 11),
    ("bad checksum around a whole frame", [flip(frame(b"<" + HI + b">"), 6, 0x01)], 65535, "checksum", 7),
    ("cut in the magic", [HI[:1]], 65535, "abandoned", 1),
    ("cut in the length", [HI[:3]], 65535, "abandoned", 3),
    ("cut in the guard, which is wrong already", [HI[:4] + b"\x00"], 65535, "abandoned", 5),
    ("cut behind the header", [HI[:6]], 65535, "abandoned", 6),
    ("cut in the payload", [HI[:7]], 65535, "abandoned", 7),
    ("cut in the checksum", [HI[:11]], 65535, "abandoned", 11),
    ("length the wrong way round", [MAGIC + b"\x02\x00\xfd\xff" + HI[6:]], 65535, "abandoned", 12),
    ("length and guard swapped, no limit", [header(0xFFFD), HI[6:]], 65535, "abandoned", 12),
]

LONG = frame(counting(40))
FALSE = header(0x0028)  # asks for 40 bytes

# name, pieces, options (limit, abandon_after, end)
STREAMS = [
    ("nothing", [], {}),
    ("one frame", [HI], {}),
    ("two frames glued", [HI, EMPTY], {}),
    ("four frames glued", [HI, frame(DATA), EMPTY, frame(PING)], {}),
    ("noise alone", [b"\x00\x01\x02\x03\xfe\xff"], {}),
    ("noise of first magic bytes", [MAGIC[:1] * 9], {}),
    ("noise of second magic bytes", [MAGIC[1:] * 9], {}),
    ("noise before, between and behind", [b"AT+CSQ\r\n", HI, b"\xff" * 5, EMPTY, b"\r\nNO CARRIER\r\n"], {}),
    ("noise that ends with half a magic, then a frame", [b"abc\xd7", HI], {}),
    ("a frame behind text in UTF-8", ["水位 × ÷ Ѕ ".encode(), HI], {}),
    ("a frame cut at its end, still waiting", [HI[:-1]], {"end": False}),
    ("a header cut, still waiting", [HI, HI[:4]], {"end": False}),
    ("half a magic, still waiting", [b"noise", MAGIC[:1]], {"end": False}),
    ("a frame cut at its end, then the end", [HI[:-1]], {}),
    ("a frame behind a cut one, then the end", [LONG[:20], HI], {}),
    ("two cut frames, then the end", [LONG[:20], LONG[:30]], {}),
    ("every prefix of a frame, then a frame", [HI[:n] for n in range(1, 12)] + [HI], {}),
    ("a frame with a byte lost between good ones", [EMPTY, frame(DATA)[:9] + frame(DATA)[10:], HI], {}),
    ("a frame with two bytes put in between good ones", [EMPTY, frame(DATA)[:9] + b"\0\0" + frame(DATA)[9:], HI], {}),
    ("each damage once", [flip(HI, 0, 1), flip(HI, 3, 1), flip(HI, 7, 1), LONG, HI], {"limit": 16}),
    ("two damaged frames are one merged skip", [flip(HI, 7, 1), flip(HI, 6, 1), HI], {}),
    ("noise divides skips of one cause", [flip(HI, 7, 1), b"\0", flip(HI, 7, 1), HI], {}),
    ("a whole frame in a good frame is cargo", [frame(b"<" + HI + b">"), EMPTY], {}),
    ("a whole frame in a damaged frame is delivered", [flip(frame(b"<" + HI + b">"), 7 + 12, 1), EMPTY], {}),
    ("two frames in a damaged frame", [flip(frame(HI + b"-" + EMPTY), len(HI) + 6, 1), HI], {}),
    ("a frame begins in the checksum of a damaged one", [header(4), b"abcd", b"\0\0", HI], {}),
    ("a false header claims two frames", [FALSE, HI, EMPTY, bytes(40)], {}),
    ("a false header claims frames that never fill it", [FALSE, HI, EMPTY], {}),
    ("the same, given up in silence", [FALSE, HI, EMPTY, b"tail"], {"abandon_after": [28]}),
    ("given up in silence, then the rest comes", [HI[:7], HI[7:], HI], {"abandon_after": [7]}),
    ("given up twice", [HI[:3], HI[:9], HI], {"abandon_after": [3, 12]}),
    ("giving up when nothing waits", [HI, EMPTY], {"abandon_after": [12]}),
    ("given up, the next candidate waits on", [LONG[:10], HI[:5], HI[5:]], {"abandon_after": [15]}),
    ("false headers everywhere", [FALSE * 8, HI], {}),
    ("false headers that overlap", [bytes.fromhex("d755d75528aa") * 6, HI], {}),
    ("false headers that overlap, over a limit", [bytes.fromhex("d755d75528aa") * 6, HI], {"limit": 1024}),
    ("false headers five bytes apart", [bytes.fromhex("d755002800") * 12, HI], {}),
    ("false headers four bytes apart, over a limit", [bytes.fromhex("d75528aa") * 8, HI], {"limit": 1024}),
    ("magics without headers", [MAGIC * 20, HI], {}),
    ("a limit lets through what it allows", [frame(b"12345678"), frame(b"123456789"), HI], {"limit": 8}),
    ("a limit of zero", [EMPTY, frame(b"\0"), EMPTY], {"limit": 0}),
    ("the longest false header, given up", [header(0xFFFF), HI, frame(DATA)], {"abandon_after": [18]}),
]

OF = "0123456789abcdef"
ACK = {"kind": "ACK", "receive_next": 42}


def said(message: dict, stream: str = OF) -> dict:
    """A datagram as a table."""
    return {"stream": stream, "message": message}


# One of each kind, in the order of the kinds; then the ends of the stream's range.
DATAGRAMS = [
    ("REGISTER, the stream stands twice", said(register(resume=RESUME))),
    ("WELCOME, under the device's stream", said({"kind": "WELCOME", "heartbeat_ms": 30000, "window": 64, "resume": FRESH})),
    ("REFUSE", said({"kind": "REFUSE", "code": 3, "retry_after_ms": 1000, "reason": "busy"})),
    ("PING", said({"kind": "PING", "nonce": "00000000075bcd15"})),
    ("PONG", said({"kind": "PONG", "nonce": "00000000075bcd15"})),
    ("DATA with a Modbus RTU reply", said({"kind": "DATA", "seq": 7, "channel": 0, "body": MODBUS.hex()})),
    ("DATA without a body", said({"kind": "DATA", "seq": 0, "channel": 0, "body": ""})),
    ("DATA that carries a whole frame", said({"kind": "DATA", "seq": 1, "channel": 2, "body": HI.hex()})),
    ("ACK", said(ACK)),
    ("CLOSE", said({"kind": "CLOSE", "code": 2, "reason": "перезагрузка"})),
    ("CHALLENGE", said({"kind": "CHALLENGE", "nonce": counting(16).hex()})),
    ("PROOF", said({"kind": "PROOF", "mac": counting(32).hex()})),
    ("SKIP", said({"kind": "SKIP", "next": 17})),
    ("unknown kind 0C", said({"kind": "UNKNOWN", "unknown_kind": 12, "body": "00"})),
    ("stream 0", said(ACK, "0" * 16)),
    ("stream above 2^53", said(ACK, "0020000000000001")),
    ("stream of ones", said(ACK, "f" * 16)),
    ("stream that begins like a frame", said(ACK, header(23).hex() + "0000")),
]

ACKED = encode_datagram(said(ACK))
STREAM = bytes.fromhex(OF)

# name, datagram, the error's name
BAD_DATAGRAMS = [
    ("empty datagram", b"", "truncated"),
    ("cut in the magic", ACKED[:1], "truncated"),
    ("cut in the header", ACKED[:5], "truncated"),
    ("cut behind the header", ACKED[:6], "truncated"),
    ("cut in the stream", ACKED[:10], "truncated"),
    ("cut before its last byte", ACKED[:-1], "truncated"),
    ("the second half of a frame", ACKED[12:], "frame"),
    ("noise in front of the frame", b"\0" + ACKED, "frame"),
    ("a bit of the magic flipped", flip(ACKED, 1, 0x01), "frame"),
    ("a bit of the length flipped", flip(ACKED, 3, 0x01), "frame"),
    ("a bit of the stream flipped", flip(ACKED, 6, 0x80), "frame"),
    ("a bit of the message flipped", flip(ACKED, 18, 0x01), "frame"),
    ("a bit of the checksum flipped", flip(ACKED, len(ACKED) - 1, 0x01), "frame"),
    ("a byte behind the frame", ACKED + b"\0", "trailing"),
    ("a line end behind the frame", ACKED + b"\r\n", "trailing"),
    ("two frames", ACKED + ACKED, "trailing"),
    ("a frame without a payload", EMPTY, "message"),
    ("a frame with half a stream", frame(STREAM[:4]), "message"),
    ("a stream without its last byte", frame(STREAM[:7]), "message"),
    ("a stream without a message", frame(STREAM), "message"),
    ("ACK as over TCP, without a stream", frame(encode_message(ACK)), "message"),
    ("ACK cut in receive_next", frame(STREAM + b"\x07\0\0"), "message"),
    ("ACK with a byte left over", frame(STREAM + b"\x07\0\0\0\x2a!"), "message"),
    ("CLOSE, reason is not UTF-8", frame(STREAM + b"\x08\0\x02a\xff"), "message"),
    ("REGISTER, id of no bytes", frame(STREAM + b"\x01\x01\0\0\0" + TAIL), "message"),
]
