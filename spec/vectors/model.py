"""Reference model of frame v1, messages v1 and datagrams, written from frame.md and session.md.

It is slow and short on purpose: the checksum goes bit by bit, a stream is walked as a whole. The names of the rules that
a line follows stand beside it.
"""

MAGIC = b"\xd7\x55"
MAX_PAYLOAD = 65535
HEADER_LEN = 6
CHECKSUM_LEN = 4


def crc32c(data: bytes) -> int:
    """CRC-32C: polynomial 1EDC6F41 reflected, register and result inverted."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """The frame around `payload` (E-1)."""
    assert len(payload) <= MAX_PAYLOAD
    n = len(payload)
    covered = MAGIC + n.to_bytes(2, "big") + (n ^ 0xFFFF).to_bytes(2, "big") + payload
    return covered + crc32c(covered).to_bytes(4, "big")


class Wait(Exception):
    """The candidate cannot be judged yet; `missing` bytes are needed at the least."""

    def __init__(self, missing: int):
        super().__init__(missing)
        self.missing = missing


class Rejected(Exception):
    """The candidate is no frame: the cause's name, the bytes judged (R-2), and the cause's numbers."""

    def __init__(self, cause: str, judged: int, **numbers: int):
        super().__init__(cause)
        self.cause, self.judged, self.numbers = cause, judged, numbers


def judge(there: bytes, limit: int) -> bytes:
    """The payload of the frame that `there` begins with; F-7 gives the order."""
    if there[:2] != MAGIC[: len(there[:2])]:  # F-1
        raise Rejected("magic", len(there))
    if len(there) < HEADER_LEN:  # F-2
        raise Wait(HEADER_LEN - len(there))
    length = int.from_bytes(there[2:4], "big")
    guard = int.from_bytes(there[4:6], "big")
    if length + guard != 0xFFFF:  # F-3: a number and its complement add up to all ones
        raise Rejected("length_guard", HEADER_LEN, length=length, guard=guard)
    if length > limit:  # F-5
        raise Rejected("over_limit", HEADER_LEN, length=length, limit=limit)
    total = HEADER_LEN + length + CHECKSUM_LEN
    if len(there) < total:
        raise Wait(total - len(there))
    computed = crc32c(there[: total - CHECKSUM_LEN])
    found = int.from_bytes(there[total - CHECKSUM_LEN : total], "big")
    if computed != found:  # F-6
        raise Rejected("checksum", total, computed=computed, found=found)
    return there[HEADER_LEN : total - CHECKSUM_LEN]


def next_start(stream: bytes, behind: int, end: int) -> int:
    """R-3: the first place in `stream[behind:end]` where a magic stands or is cut off by `end`, or `end`."""
    for at in range(behind, end):
        if stream[at : min(at + 2, end)] in (MAGIC, MAGIC[:1]):
            return at
    return end


def walk(stream: bytes, limit: int = MAX_PAYLOAD, abandon_after=(), end: bool = True):
    """The steps over `stream`, neighbouring skips of one cause merged (R-5), and how many bytes still wait.

    `abandon_after` are the numbers of received bytes after which one waiting candidate is given up (R-6). With `end`
    the stream is over, and candidates are given up until none is left.
    """
    steps, at = [], 0

    def skip(cause: str, judged: int, there: int) -> int:
        behind = next_start(stream, at + 1, min(at + judged, there))
        if steps and steps[-1][0] == cause:
            steps[-1] = (cause, steps[-1][1] + behind - at)
        else:
            steps.append((cause, behind - at))
        return behind

    for there, give_up in [(n, 1) for n in abandon_after] + [(len(stream), len(stream) if end else 0)]:
        while at < there or give_up:
            try:
                payload = judge(stream[at:there], limit)
            except Rejected as rejected:
                at = skip(rejected.cause, rejected.judged, there)
            except Wait:
                if not give_up or at == there:
                    break
                give_up -= 1
                at = skip("abandoned", there - at, there)
            else:
                steps.append(("frame", payload))
                at += HEADER_LEN + len(payload) + CHECKSUM_LEN
    return steps, len(stream) - at


# Messages. Each kind is a list of (field, type); the types are below.

RESUME = [("stream", "hex8"), ("send_base", "u32"), ("peer_stream", "hex8"), ("receive_next", "u32")]

KINDS = {
    0x01: ("REGISTER", [("version", "u8"), ("flags", "u8"), ("device_id", "text1-64"), ("token", "bytes0-255"), *RESUME]),
    0x02: ("WELCOME", [("heartbeat_ms", "u32"), ("window", "u16"), *RESUME]),
    0x03: ("REFUSE", [("code", "u8"), ("retry_after_ms", "u32"), ("reason", "text0-255")]),
    0x04: ("PING", [("nonce", "hex8")]),
    0x05: ("PONG", [("nonce", "hex8")]),
    0x06: ("DATA", [("seq", "u32"), ("channel", "u8"), ("body", "rest")]),
    0x07: ("ACK", [("receive_next", "u32")]),
    0x08: ("CLOSE", [("code", "u8"), ("reason", "text0-255")]),
    0x09: ("CHALLENGE", [("nonce", "hex16")]),
    0x0A: ("PROOF", [("mac", "hex32")]),
    0x0B: ("SKIP", [("next", "u32")]),
}

SIZES = {"u8": 1, "u16": 2, "u32": 4}
IN_RESUME = {name for name, _ in RESUME}


class Invalid(Exception):
    """The payload is no message: the error as a table."""

    def __init__(self, name: str, **rest):
        super().__init__(name)
        self.error = {"name": name, **rest}


class Reader:
    """Takes fields off the front of a payload."""

    def __init__(self, data: bytes):
        self.data = data

    def take(self, field: str, needed: int) -> bytes:
        if len(self.data) < needed:  # M-2
            raise Invalid("truncated", field=field, needed=needed, available=len(self.data))
        taken, self.data = self.data[:needed], self.data[needed:]
        return taken

    def field(self, field: str, type_: str):
        if type_ in SIZES:
            return int.from_bytes(self.take(field, SIZES[type_]), "big")
        if type_.startswith("hex"):
            return self.take(field, int(type_[3:])).hex()
        if type_ == "rest":
            return self.take(field, len(self.data)).hex()
        is_text = type_.startswith("text")  # M-4
        low, high = map(int, type_.removeprefix("text").removeprefix("bytes").split("-"))
        value = self.take(field, self.take(field, 1)[0])
        if is_text:  # M-5
            try:
                text = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise Invalid("not_utf8", field=field, valid_up_to=error.start) from None
        if not low <= len(value) <= high:  # M-6
            raise Invalid("length", field=field, length=len(value), min=low, max=high)
        return text if is_text else value.hex()


def decode_message(payload: bytes) -> dict:
    """The message that `payload` is, as the vectors write it; raises `Invalid`."""
    reader = Reader(payload)
    kind = reader.take("kind", 1)[0]
    if kind not in KINDS:  # M-7
        return {"kind": "UNKNOWN", "unknown_kind": kind, "body": reader.data.hex()}
    name, fields = KINDS[kind]
    message, resume = {"kind": name}, {}
    for field, type_ in fields:
        in_resume = fields[-len(RESUME) :] == RESUME and field in IN_RESUME
        (resume if in_resume else message)[field] = reader.field(field, type_)
    if reader.data:  # M-3
        raise Invalid("trailing", bytes=len(reader.data))
    return {**message, "resume": resume} if resume else message


def encode_message(message: dict) -> bytes:
    """The payload that says `message`."""
    if message["kind"] == "UNKNOWN":
        return bytes([message["unknown_kind"]]) + bytes.fromhex(message["body"])
    kind, fields = next((kind, fields) for kind, (name, fields) in KINDS.items() if name == message["kind"])
    flat = {**message, **message.get("resume", {})}
    out = bytes([kind])
    for field, type_ in fields:
        value = flat[field]
        if type_ in SIZES:
            out += value.to_bytes(SIZES[type_], "big")
        elif type_.startswith("hex"):
            out += bytes.fromhex(value).rjust(int(type_[3:]), b"\0")
        elif type_ == "rest":
            out += bytes.fromhex(value)
        else:
            data = value.encode("utf-8") if type_.startswith("text") else bytes.fromhex(value)
            out += bytes([len(data)]) + data
    return out


# Datagrams: a frame whose payload is a stream and then a message (S-22).

STREAM_LEN = 8


class Dropped(Exception):
    """The datagram is not one whole intact frame with a stream and a message in it: the error as a table."""

    def __init__(self, name: str, **rest):
        super().__init__(name)
        self.error = {"name": name, **rest}


def open_datagram(datagram: bytes) -> dict:
    """The stream and the message of `datagram`; raises `Dropped`."""
    try:
        payload = judge(datagram, MAX_PAYLOAD)
    except Wait as wait:  # S-23
        raise Dropped("truncated", missing=wait.missing, available=len(datagram)) from None
    except Rejected as rejected:
        raise Dropped("frame", cause=rejected.cause, **rejected.numbers) from None
    behind = len(datagram) - HEADER_LEN - len(payload) - CHECKSUM_LEN
    if behind:
        raise Dropped("trailing", bytes=behind)
    reader = Reader(payload)
    try:
        return {"stream": reader.take("stream", STREAM_LEN).hex(), "message": decode_message(reader.data)}
    except Invalid as invalid:
        raise Dropped("message", error=invalid.error) from None


def encode_datagram(datagram: dict) -> bytes:
    """The datagram that says what the table says."""
    return frame(bytes.fromhex(datagram["stream"]) + encode_message(datagram["message"]))
