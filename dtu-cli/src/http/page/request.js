// The request box of a device: hex, or a Modbus request from its fields; the reply annotated, or why there is none.

import { call, devicePath, words } from "./api.js";
import { bytesOf, hexOf, hexView } from "./hex.js";
import { FUNCTIONS, build, exceptionWords, parse, readReply } from "./modbus.js";
import { clock, make, milliseconds, paint, visible } from "./text.js";

/** Replies that stay in view. */
const REPLIES_KEPT = 5;
const TIMEOUT_MAX_S = 600;
/** Waiting for its turn comes on top of the reply's own time. */
const TURN = 60_000;

const OUTCOMES = {
  replied: "Replied", sent: "Sent; it has no reply", timed_out: "No reply in time", expired: "Its turn did not come in time", line_gone: "The line is gone",
  unknown_device: "Unknown device", full: "The queue of the line is full", bad_request: "It is no request",
};

/** Bytes a line in the replies' box. */
const width = (box) => (box.clientWidth >= 640 ? 16 : 8);

function field(label, input, hint) {
  return make("label", { class: "field" }, make("span", {}, label), input, hint ? make("small", {}, hint) : null);
}

const numberInput = (name, value) => make("input", { name, value, inputmode: "numeric", autocomplete: "off", spellcheck: "false", required: true });

/** The box. `confirm` asks before something is written; `onReply` is called after each answer. */
export function requestBox({ id, isNative, confirm, onReply }) {
  const address = numberInput("address", "1");
  const code = make("select", { name: "function" }, ...FUNCTIONS.map((one) => make("option", { value: one.code }, `${String(one.code).padStart(2, "0")} ${one.name}`)));
  code.value = "3";
  const start = numberInput("start", "0");
  start.title = "Counted from 0; 0x… for hex";
  const amount = numberInput("amount", "2");
  const amountLabel = field("Count", amount);
  const startLabel = field("First register", start);
  const hex = make("textarea", { name: "hex", rows: "2", spellcheck: "false", autocomplete: "off", placeholder: "01 03 00 00 00 02" });
  const withCrc = make("input", { type: "checkbox", name: "crc" });
  const timeout = numberInput("timeout", "5");
  const channel = numberInput("channel", "0");
  const preview = make("output", { class: "preview mono" });
  const wrong = make("p", { class: "wrong", role: "alert", hidden: true });
  const send = make("button", { type: "submit", class: "main" }, "Send");
  const replies = make("div", { class: "replies", role: "log", "aria-label": "Replies" });

  const modbusPart = make("div", { class: "part modbus" }, field("Function", code), field("Address", address), startLabel, amountLabel);
  const hexPart = make("div", { class: "part", hidden: true }, field("Bytes in hex", hex), make("label", { class: "check" }, withCrc, " Append the CRC of Modbus"));
  const tab = (value, title, isChosen) => make("label", {}, make("input", { type: "radio", name: "how", value, checked: isChosen }), make("span", {}, title));
  const how = make("fieldset", { class: "tabs" }, make("legend", { class: "unseen" }, "Kind of request"), tab("modbus", "Modbus RTU", true), tab("hex", "Hex", false));
  const form = make("form", { class: "request", novalidate: true }, how, modbusPart, hexPart,
    make("div", { class: "part last" }, field("Timeout, s", timeout), isNative ? field("Channel", channel) : null, send), preview, wrong);

  const isHex = () => form.elements.how.value === "hex";
  const kind = () => FUNCTIONS.find((one) => one.code === Number(code.value));

  function read() {
    const seconds = Number(timeout.value);
    if (!(seconds > 0 && seconds <= TIMEOUT_MAX_S)) return { wrong: { field: "timeout", text: `The timeout is from 0.001 to ${TIMEOUT_MAX_S} seconds.` } };
    const rest = { timeout_ms: Math.max(1, Math.round(seconds * 1000)) };
    if (isNative) {
      const number = parse(channel.value);
      if (!(number >= 0 && number <= 255)) return { wrong: { field: "channel", text: "The channel is a number from 0 to 255." } };
      rest.channel = number;
    }
    if (!isHex()) {
      const built = build({ address: parse(address.value), code: Number(code.value), start: parse(start.value), amount: parse(amount.value) });
      return built.wrong ? built : { bytes: built.bytes, body: { hex: hexOf(built.bytes), ...rest } };
    }
    const digits = hex.value.replace(/\s+/g, "");
    const odd = digits.match(/[^0-9a-f]/iu);
    if (odd) return { wrong: { field: "hex", text: `“${visible(odd[0])}” is no hex digit.` } };
    if (digits === "") return { wrong: { field: "hex", text: "There are no bytes yet." } };
    if (digits.length % 2 === 1) return { wrong: { field: "hex", text: `${digits.length} digits are no whole bytes.` } };
    return { bytes: bytesOf(digits), body: { hex: digits.toLowerCase(), ...(withCrc.checked ? { crc: true } : {}), ...rest } };
  }

  function update() {
    modbusPart.hidden = isHex();
    hexPart.hidden = !isHex();
    const { unit, isWrite } = kind();
    amountLabel.firstChild.textContent = isWrite ? (unit === "coil" ? "Value, 0 or 1" : "Value") : "Count";
    startLabel.firstChild.textContent = isWrite ? `Number of the ${unit}` : `First ${unit}`;
    send.textContent = !isHex() && isWrite ? "Write…" : "Send";
    const request = read();
    preview.textContent = request.bytes && !isHex() ? hexOf(request.bytes).match(/../g).join(" ") : "";
    wrong.hidden = true;
    for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  }

  function refuse({ field: name, text }) {
    wrong.textContent = text;
    wrong.hidden = false;
    form.elements[name]?.setAttribute("aria-invalid", "true");
    form.elements[name]?.focus();
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const request = read();
    if (request.wrong) return refuse(request.wrong);
    if (!isHex() && kind().isWrite) {
      const text = `${kind().name} ${parse(start.value)} at address ${parse(address.value)}: the new value is ${parse(amount.value)}. It changes the equipment behind this device.`;
      if (!(await confirm({ title: "Write to the device?", text, yes: "Write" }))) return;
    }
    send.disabled = true;
    form.setAttribute("aria-busy", "true");
    const began = performance.now();
    const shown = waiting(request.bytes);
    replies.prepend(shown);
    while (replies.children.length > REPLIES_KEPT) replies.lastChild.remove();
    try {
      const answer = await call(devicePath(id, "/request"), { method: "POST", body: request.body, patience: request.body.timeout_ms + TURN });
      replied(shown, answer, request.bytes, width(replies));
    } catch (error) {
      failed(shown, error, performance.now() - began);
    } finally {
      send.disabled = false;
      form.removeAttribute("aria-busy");
      onReply();
    }
  });
  update();
  return make("div", {}, form, replies);
}

function waiting(bytes) {
  const asked = make("span", { class: "mono soft" }, hexOf(bytes).match(/../g)?.join(" ") ?? "");
  return make("article", { class: "reply" }, make("p", { class: "reply-head" }, make("strong", {}, "Waiting for the reply"), make("time", {}, clock(Date.now()))), make("p", { class: "asked" }, asked));
}

function head(shown, kind, title, time) {
  shown.dataset.kind = kind;
  shown.querySelector("strong").textContent = title;
  shown.querySelector("time").textContent = time;
}

function replied(shown, answer, request, width) {
  const trip = Number.isFinite(answer.round_trip_ms) ? milliseconds(answer.round_trip_ms) : "";
  const outcome = OUTCOMES[answer.outcome] ?? visible(answer.outcome ?? "");
  const isException = Number.isInteger(answer.exception);
  head(shown, isException ? "warn" : answer.outcome === "replied" || answer.outcome === "sent" ? "good" : "error",
    isException ? `Exception ${answer.exception}: ${exceptionWords(answer.exception)}` : outcome, trip);
  if (typeof answer.text === "string" && answer.text !== "") shown.append(paint(make("p"), answer.text));
  const bytes = bytesOf(answer.hex ?? "");
  if (bytes.length > 0) shown.append(hexView(bytes, Array.isArray(answer.fields) ? answer.fields : readReply(bytes, request), width));
}

function failed(shown, error, took) {
  const { text, detail } = words(error);
  head(shown, "error", text, `after ${milliseconds(took)}`);
  if (detail) shown.append(paint(make("p", { class: "soft" }), detail));
}
