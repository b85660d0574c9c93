// Bytes as annotated hex: offset, bytes coloured by field, text, and the fields as a list that lights up their bytes.

import { make, paint, visible } from "./text.js";

/** Colours of fields, given out in turn. */
const COLOURS = 6;

/** The bytes of hex text; what is none ends it. */
export function bytesOf(hex) {
  const digits = String(hex).replace(/\s+/g, "");
  const bytes = [];
  for (let at = 0; at + 1 < digits.length; at += 2) {
    const byte = Number.parseInt(digits.slice(at, at + 2), 16);
    if (Number.isNaN(byte)) break;
    bytes.push(byte);
  }
  return bytes;
}

export const hexOf = (bytes) => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** What of the fields can be shown over `length` bytes, in order. */
export function sound(fields, length) {
  if (!Array.isArray(fields)) return [];
  return fields
    .filter((field) => Number.isInteger(field?.from) && Number.isInteger(field?.to) && field.from >= 0 && field.from < field.to && field.from < length)
    .map((field) => ({ from: field.from, to: Math.min(field.to, length), name: String(field.name ?? ""), text: String(field.text ?? "") }))
    .sort((a, b) => a.from - b.from || b.to - a.to);
}

/** For each byte the field that is closest around it, or -1. */
function owners(fields, length) {
  const owner = new Array(length).fill(-1);
  const width = new Array(length).fill(Infinity);
  fields.forEach((field, index) => {
    for (let at = field.from; at < field.to; at += 1) {
      if (field.to - field.from <= width[at]) { owner[at] = index; width[at] = field.to - field.from; }
    }
  });
  return owner;
}

const glyph = (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·");

/** An element that shows `bytes` in lines of `width`, with `fields` of `{from, to, name, text}`. */
export function hexView(bytes, told, width) {
  const fields = sound(told, bytes.length);
  const owner = owners(fields, bytes.length);
  const grid = make("div", { class: "hex", "data-width": width, "data-lines": bytes.length > width ? "many" : "one", "aria-hidden": "true" });
  for (let start = 0; start < bytes.length; start += width) {
    const hex = make("span", { class: "hex-bytes" });
    const text = make("span", { class: "hex-text" });
    const end = Math.min(start + width, bytes.length);
    for (let at = start; at < end;) {
      let to = at + 1;
      while (to < end && owner[to] === owner[at]) to += 1;
      const run = bytes.slice(at, to);
      const pairs = run.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
      hex.append(runOf(owner[at], pairs), to < end ? " " : "");
      text.append(runOf(owner[at], run.map(glyph).join("")));
      at = to;
    }
    const offset = make("span", { class: "hex-offset" }, start.toString(16).padStart(4, "0"));
    grid.append(make("div", { class: "hex-line" }, offset, hex, text));
  }
  const view = make("div", { class: "hex-view" }, grid);
  if (fields.length > 0) view.append(fieldList(fields));
  light(view);
  return view;
}

function runOf(field, text) {
  const run = make("span", field === -1 ? {} : { class: `run f${field % COLOURS}`, "data-field": field }, text);
  return run;
}

function fieldList(fields) {
  const list = make("ul", { class: "fields", "aria-label": "Fields" });
  fields.forEach((field, index) => {
    const where = field.to - field.from === 1 ? `byte ${field.from}` : `bytes ${field.from} to ${field.to - 1}`;
    const button = make("button", {
      type: "button", class: `f${index % COLOURS}`, "data-field": index, "aria-pressed": "false",
      title: `${visible(field.name)}, ${where}`,
    });
    button.append(paint(make("span", { class: "field-name" }), field.name), " ", paint(make("span", { class: "field-text" }), field.text));
    list.append(make("li", {}, button));
  });
  return list;
}

/** Hover, focus and tap: a field lights up in bytes, text and list; a tap keeps it. */
function light(view) {
  let kept = null;
  const fieldAt = (event) => event.target.closest?.("[data-field]")?.dataset.field ?? null;
  const show = (field) => {
    for (const element of view.querySelectorAll("[data-field]")) {
      element.classList.toggle("lit", element.dataset.field === field);
      if (element.matches("button")) element.setAttribute("aria-pressed", String(element.dataset.field === kept));
    }
  };
  view.addEventListener("pointerover", (event) => show(fieldAt(event) ?? kept));
  view.addEventListener("pointerleave", () => show(kept));
  view.addEventListener("focusin", (event) => show(fieldAt(event) ?? kept));
  view.addEventListener("focusout", () => show(kept));
  view.addEventListener("click", (event) => {
    const field = fieldAt(event);
    kept = field === kept ? null : field;
    show(kept);
  });
}
