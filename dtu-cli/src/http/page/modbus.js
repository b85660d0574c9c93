// Modbus RTU for the request box: requests from fields, and what a request and its reply say, byte by byte.

/** Functions that the helper builds. `many` is the most of them in one request. */
export const FUNCTIONS = [
  { code: 1, name: "Read coils", many: 2000, unit: "coil" },
  { code: 2, name: "Read discrete inputs", many: 2000, unit: "input" },
  { code: 3, name: "Read holding registers", many: 125, unit: "register" },
  { code: 4, name: "Read input registers", many: 125, unit: "register" },
  { code: 5, name: "Write one coil", isWrite: true, unit: "coil" },
  { code: 6, name: "Write one register", isWrite: true, unit: "register" },
];

// MODBUS Application Protocol Specification V1.1b3, section 7.
const EXCEPTIONS = {
  1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure", 5: "acknowledge",
  6: "server device busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target failed to respond",
};

export const exceptionWords = (code) => EXCEPTIONS[code] ?? "an exception without a name";

/** CRC-16/MODBUS. */
export function crc(bytes) {
  let sum = 0xffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >> 1) ^ 0xa001 : sum >> 1;
  }
  return sum;
}

const pair = (value) => [value >> 8, value & 0xff];
const word = (bytes, at) => bytes[at] * 256 + bytes[at + 1];

/** A number as people write it: decimal, or hex with `0x`; NaN where it is none. */
export function parse(text) {
  const trimmed = text.trim();
  return /^(0x[0-9a-f]+|\d+)$/i.test(trimmed) ? Number(trimmed) : Number.NaN;
}

/** The bytes of a request, or `{ wrong }`: which field, and what it may be. */
export function build({ address, code, start, amount }) {
  const kind = FUNCTIONS.find((one) => one.code === code);
  const wrong = (field, text) => ({ wrong: { field, text } });
  if (!(address >= 0 && address <= 247)) return wrong("address", "The address is a number from 0 to 247.");
  if (!(start >= 0 && start <= 0xffff)) return wrong("start", `The ${kind.unit} is a number from 0 to 65535.`);
  let value = amount;
  if (code === 5) {
    if (!(amount === 0 || amount === 1)) return wrong("amount", "A coil is 0 or 1.");
    value = amount === 1 ? 0xff00 : 0;
  } else if (code === 6) {
    if (!(amount >= 0 && amount <= 0xffff)) return wrong("amount", "The value is a number from 0 to 65535.");
  } else {
    if (!(amount >= 1 && amount <= kind.many)) return wrong("amount", `The count is a number from 1 to ${kind.many}.`);
    if (start + amount > 0x10000) return wrong("amount", "The last one would be beyond 65535.");
  }
  const body = [address, code, ...pair(start), ...pair(value)];
  const sum = crc(body);
  return { bytes: [...body, sum & 0xff, sum >> 8] };
}

const isWhole = (bytes) => bytes.length >= 4 && crc(bytes.slice(0, -2)) === bytes.at(-2) + bytes.at(-1) * 256;

/** The fields of a reply, with what the request tells of it; none where its checksum is not that of Modbus. */
export function readReply(bytes, request = []) {
  if (!isWhole(bytes)) return [];
  const end = bytes.length - 2;
  const code = bytes[1] & 0x7f;
  const kind = FUNCTIONS.find((one) => one.code === code);
  const fields = [
    { from: 0, to: 1, name: "address", text: String(bytes[0]) },
    { from: 1, to: 2, name: "function", text: bytes[1] & 0x80 ? `${code}, exception` : `${code} ${kind?.name.toLowerCase() ?? ""}`.trim() },
  ];
  if (bytes[1] & 0x80) {
    if (end > 2) fields.push({ from: 2, to: end, name: "exception", text: `${bytes[2]}, ${exceptionWords(bytes[2])}` });
  } else if (code >= 1 && code <= 4 && bytes[2] === end - 3) {
    fields.push({ from: 2, to: 3, name: "bytes", text: String(bytes[2]) });
    const start = isWhole(request) && request[1] === code ? word(request, 2) : 0;
    const many = isWhole(request) && request[1] === code ? word(request, 4) : bytes[2] * 8;
    if (code >= 3) {
      for (let at = 3; at + 1 < end; at += 2) {
        const value = word(bytes, at);
        fields.push({ from: at, to: at + 2, name: `register ${start + (at - 3) / 2}`, text: `${value} (0x${value.toString(16).padStart(4, "0")})` });
      }
    } else {
      for (let at = 3; at < end; at += 1) {
        const first = (at - 3) * 8;
        const bits = Math.min(8, many - first);
        const text = Array.from({ length: Math.max(0, bits) }, (_, bit) => (bytes[at] >> bit) & 1).join(" ");
        fields.push({ from: at, to: at + 1, name: `${kind.unit}s ${start + first}–${start + first + bits - 1}`, text });
      }
    }
  } else if ((code === 5 || code === 6) && end === 6) {
    fields.push({ from: 2, to: 4, name: kind.unit, text: String(word(bytes, 2)) });
    fields.push({ from: 4, to: 6, name: "value", text: code === 5 ? (bytes[4] ? "on" : "off") : String(word(bytes, 4)) });
  }
  fields.push({ from: end, to: end + 2, name: "CRC", text: "right" });
  return fields;
}
