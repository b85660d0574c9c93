#!/usr/bin/env python3
"""Writes the golden vectors, or with --check compares them and exits 1 where one differs.

Needs Python 3.10 and its standard library. `model.py` is the reference implementation, `cases.py` the inputs; both are
written from frame.md and session.md and share nothing with the code that the vectors test.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True

import cases  # noqa: E402
import model  # noqa: E402

HERE = Path(__file__).resolve().parent
HEX_UP_TO = 600  # bytes that are written out; longer ones are given by their parts


def value(item) -> str:
    """`item` as a TOML value on one line."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int):
        return str(item)
    if isinstance(item, bytes):
        return f'"{item.hex()}"'
    if isinstance(item, str):
        escaped = item.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(item, dict):
        return "{ " + ", ".join(f"{key} = {value(entry)}" for key, entry in item.items()) + " }"
    if not item:
        return "[]"
    return "[\n" + "".join(f"  {value(entry)},\n" for entry in item) + "]"


def document(comment: str, vectors) -> str:
    """A file of `[[vector]]` tables under a comment."""
    lines = [*(f"# {line}".rstrip() for line in comment.strip().splitlines())]
    names = set()
    for vector in vectors:
        assert vector["name"] not in names, vector["name"]
        names.add(vector["name"])
        lines += ["", "[[vector]]", *(f"{key} = {value(item)}" for key, item in vector.items())]
    return "\n".join(lines) + "\n"


def steps(found) -> list:
    """Merged steps as tables."""
    return [{"frame": what} if name == "frame" else {"skipped": what, "cause": name} for name, what in found]


def frames():
    """Payloads and the frames around them."""
    for name, *what in cases.FRAMES:
        payload = what[0] if len(what) == 1 else bytes([what[0]]) * what[1]
        framed = model.frame(payload)
        assert model.walk(framed) == ([("frame", payload)], 0)
        repeat = {"payload_repeat": {"byte": bytes([what[0]]), "count": what[1]}} if len(what) == 2 else {}
        vector = {"name": name, **(repeat or {"payload": payload})}
        vector |= {"header": framed[: model.HEADER_LEN], "checksum": framed[-model.CHECKSUM_LEN :]}
        yield vector | ({"bytes": framed} if len(framed) <= HEX_UP_TO else {})


def messages():
    """Messages with their payloads, and payloads that are none with their error."""
    for name, message in cases.MESSAGES:
        payload = model.encode_message(message)
        assert model.decode_message(payload) == message, name
        yield {"name": name, "payload": payload, "message": message}
    for name, payload in cases.BAD_MESSAGES:
        try:
            raise AssertionError(f"{name}: decodes as {model.decode_message(payload)}")
        except model.Invalid as invalid:
            yield {"name": name, "payload": payload, "error": invalid.error}


def damage():
    """Damaged frames: the first verdict in its numbers, and all steps to the end of the stream."""
    for name, parts, limit, cause, skipped in cases.DAMAGE:
        stream = b"".join(parts)
        verdict = {}
        try:
            raise AssertionError(f"{name}: is the frame around {model.judge(stream, limit).hex()}")
        except model.Rejected as rejected:
            verdict = {"cause": rejected.cause, "judged": rejected.judged, **rejected.numbers}
        except model.Wait as wait:
            verdict = {"cause": "abandoned", "judged": len(stream), "missing": wait.missing, "received": len(stream)}
        first = model.next_start(stream, 1, min(verdict["judged"], len(stream)))
        assert (verdict["cause"], first) == (cause, skipped), f"{name}: {verdict}, {first} skipped"
        found, waiting = model.walk(stream, limit)
        assert waiting == 0, name
        vector = {"name": name, "parts": parts, **({"limit": limit} if limit != model.MAX_PAYLOAD else {})}
        yield vector | {"verdict": verdict, "skipped": skipped, "steps": steps(found)}


def streams():
    """Streams and their merged steps."""
    for name, parts, options in cases.STREAMS:
        stream = b"".join(parts)
        assert len(stream) <= HEX_UP_TO, name
        found, waiting = model.walk(stream, **options)
        covered = sum(len(what) + 10 if step == "frame" else what for step, what in found)
        assert covered + waiting == len(stream), name
        vector = {"name": name, "parts": parts, **options, "steps": steps(found)}
        if not options.get("end", True):
            try:
                model.judge(stream[covered:], options.get("limit", model.MAX_PAYLOAD))
                raise AssertionError(f"{name}: nothing waits")
            except model.Wait as wait:
                vector |= {"waiting": waiting, "missing": wait.missing}
        yield vector


def datagrams():
    """Datagrams with what they say, and datagrams that are dropped with their error."""
    for name, said in cases.DATAGRAMS:
        datagram = model.encode_datagram(said)
        assert model.open_datagram(datagram) == said, name
        yield {"name": name, "datagram": datagram, **said}
    for name, datagram, error in cases.BAD_DATAGRAMS:
        try:
            raise AssertionError(f"{name}: says {model.open_datagram(datagram)}")
        except model.Dropped as dropped:
            assert dropped.error["name"] == error, f"{name}: {dropped.error}"
            yield {"name": name, "datagram": datagram, "error": dropped.error}


HEAD = "Written by reference.py from frame.md and session.md; do not edit. Bytes are hexadecimal."

FILES = {
    "frames.toml": (
        f"""{HEAD}
Valid frames. The payload is `payload`, or `count` times `byte` of `payload_repeat`. The frame is `header`, payload,
`checksum`; `bytes` is the same as a whole where it is short.""",
        frames,
    ),
    "messages.toml": (
        f"""{HEAD}
`payload` either decodes to `message`, and encodes to the same bytes, or is no message because of `error`. Opaque
numbers of 64 bits and bytes are hexadecimal text in `message`.""",
        messages,
    ),
    "damage.toml": (
        f"""{HEAD}
Damaged frames: the stream is `parts` put together, `limit` the receiver's (65535 where it is not said). `verdict` is
what the candidate at the first byte is rejected for, with the bytes judged (R-2) and the numbers of the cause;
`abandoned` ones wait for `missing` bytes and are given up. `skipped` bytes are skipped under it (R-3). `steps` is the
merged list to the end of the stream.""",
        damage,
    ),
    "streams.toml": (
        f"""{HEAD}
Streams: `parts` put together, cut in any way. `limit` is the receiver's (65535 where it is not said). After as many
received bytes as each number of `abandon_after` says, one waiting candidate is given up (R-6). At the end of the stream
candidates are given up until no byte is left; with `end = false` it is not over, `waiting` bytes have no verdict, and
`missing` more are needed at the least. `steps` is the merged list (R-5).""",
        streams,
    ),
    "datagrams.toml": (
        f"""{HEAD}
UDP datagrams, each as it comes from the socket (S-22, S-23). `datagram` either says `stream` and `message`, and encodes
to the same bytes, or is dropped because of `error`: `truncated` and `trailing` have their numbers, `frame` the cause and
the numbers of `damage.toml`, `message` an error of `messages.toml`.""",
        datagrams,
    ),
}


def main(arguments) -> int:
    """Returns the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: reference.py [--check]", file=sys.stderr)
        return 2
    assert model.crc32c(b"123456789") == 0xE3069283
    count, wrong = 0, []
    for name, (comment, vectors) in FILES.items():
        made = list(vectors())
        count += len(made)
        text, path = document(comment, made), HERE / name
        if not arguments:
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.exists() or path.read_bytes() != text.encode():
            wrong.append(name)
    for name in wrong:
        print(f"{name} differs from what reference.py makes of the specification", file=sys.stderr)
    print(f"{count} vectors in {len(FILES)} files {'compared' if arguments else 'written'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
