// Texts as they are shown: what the eye cannot see is spelled out, numbers and times are in one form.

// Controls, format characters (bidirectional ones among them), separators, unassigned and private code points, halves of
// surrogates, blanks other than the space, and letters without a glyph.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\u2800\u3164\u115f\u1160\uffa0]|(?! )\p{Zs}|^ | $/gu;
const NAMES = new Map([["\n", "\\n"], ["\r", "\\r"], ["\t", "\\t"], ["\0", "\\0"], [" ", "U+0020"]]);

function spelled(character) {
  return NAMES.get(character) ?? `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** The text with what cannot be seen spelled out, for attributes and titles. */
export function visible(text) {
  return String(text).replace(HIDDEN, (character) => `⟨${spelled(character)}⟩`);
}

/** Puts a text into an element, as text; what cannot be seen stands in marks of its own. */
export function paint(element, text) {
  const whole = String(text);
  HIDDEN.lastIndex = 0;
  if (!HIDDEN.test(whole)) {
    element.textContent = whole;
    return element;
  }
  const parts = [];
  let from = 0;
  HIDDEN.lastIndex = 0;
  for (const found of whole.matchAll(HIDDEN)) {
    if (found.index > from) parts.push(whole.slice(from, found.index));
    const mark = document.createElement("span");
    mark.className = "hidden-character";
    mark.textContent = spelled(found[0]);
    parts.push(mark);
    from = found.index + found[0].length;
  }
  if (from < whole.length) parts.push(whole.slice(from));
  element.replaceChildren(...parts);
  return element;
}

/** Digits in groups of three, by narrow spaces that do not break. */
export function count(number) {
  if (!Number.isFinite(number)) return "–";
  const digits = String(Math.round(number));
  return digits.length < 4 ? digits : digits.replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A round trip: three digits are enough. */
export function milliseconds(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)}\u00a0s`;
  return `${ms >= 100 ? Math.round(ms) : ms.toFixed(1)}\u00a0ms`;
}

/** A span of time in one unit, as for "3 min ago". */
export function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}\u00a0s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}\u00a0h`;
  return `${Math.floor(seconds / 86_400)}\u00a0d`;
}

/** A span of time in two units, as for an uptime. */
export function longSpan(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return span(ms);
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}\u00a0h ${minutes % 60}\u00a0min`;
  return `${Math.floor(hours / 24)}\u00a0d ${hours % 24}\u00a0h`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const clock = (ms) => (Number.isFinite(ms) ? CLOCK.format(ms) : "–");
export const day = (ms) => (Number.isFinite(ms) ? DAY.format(ms).replace(",", "") : "–");
export const date = (ms) => (Number.isFinite(ms) ? DATE.format(ms) : "–");

/** What the page calls a state. */
export const stateWord = (state) => ({ connected: "connected", disconnected: "away", closed: "closed" })[state] ?? visible(state);

/** Makes an element: `make("p", { class: "soft" }, "text", child)`. Strings are text, never markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
