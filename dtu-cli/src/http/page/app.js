// The page: what is shown where, and how the parts hear of each other.

import { now, token } from "./api.js";
import { DeviceView } from "./device.js";
import { Fleet, RATE_KEPT } from "./fleet.js";
import { showGateway, totalOf } from "./gateway.js";
import { Stream } from "./stream.js";
import { COLUMNS, Table, deviceHash } from "./table.js";
import { count, make, span, visible } from "./text.js";

/** Pauses between two orders of the same rows by values that change, in milliseconds. */
const ORDER_EVERY = 2000;
/** Columns whose values change with every frame. */
const LIVELY = new Set(["rtt_ms", "last_seen", "frames", "errors"]);

const at = (id) => document.getElementById(id);
const fleet = new Fleet();
const view = { text: "", state: "", order: "id", isDown: false };
let drawn = { version: -1, at: 0, view: "" };
let link = { is: "connecting" };
let lastEvent = 0;
let gateway = null;
let device = null;
let scrolled = 0;

const stream = new Stream({
  onState(state) {
    link = state;
    if (state.is === "open") fleet.begin();
    if (state.is === "unauthorized") askToken(state.error);
    showLink();
  },
  onEvent(name, data) {
    let told;
    try {
      told = JSON.parse(data);
    } catch {
      return;
    }
    lastEvent = now();
    if (name === "devices" && Array.isArray(told)) {
      fleet.apply(told);
      const row = device && fleet.rows.get(device.id);
      if (row && told.some((one) => one?.id === device.id)) device.handleRow(row);
    } else if (name === "reset") {
      fleet.begin();
    } else if (name === "gone" && Array.isArray(told)) {
      fleet.forget(told);
      if (device && told.includes(device.id)) device.look();
    } else if (name === "gateway" && told !== null && typeof told === "object") {
      gateway = told;
      fleet.mark(totalOf(gateway));
      fleet.second(performance.now());
      showGateway(gateway);
    }
    plan();
  },
});

const table = new Table({
  grid: at("grid"),
  head: at("head"),
  body: at("rows"),
  onSort: (column) => sortBy(column.name, view.order === column.name ? !view.isDown : Boolean(column.isDown)),
  onOpen: (id) => { location.hash = deviceHash(id); },
});

// The fleet's view.

let planned = 0;

/** Draws soon; many events are one drawing. */
function plan() {
  planned ||= setTimeout(() => { planned = 0; showFleet(); }, 50);
}

function showFleet() {
  if (at("fleet").hidden) return;
  showCounts();
  const wanted = JSON.stringify(view);
  const isNew = wanted !== drawn.view;
  const isDue = LIVELY.has(view.order) ? performance.now() - drawn.at > ORDER_EVERY && !table.isHeld : true;
  if (isNew || (drawn.version !== fleet.version && isDue)) {
    drawn = { version: fleet.version, at: performance.now(), view: wanted };
    const rows = fleet.view(view);
    table.show(rows, view);
    showNothing(rows.length);
    at("shown").textContent = rows.length === fleet.rows.size ? "" : `${count(rows.length)} of ${count(fleet.rows.size)}`;
  } else if (drawn.version !== fleet.version) {
    table.refresh((id) => fleet.rows.get(id));
  }
}

function showCounts() {
  const { connected, disconnected, closed } = fleet.counts;
  const isKnown = fleet.isWhole || fleet.rows.size > 0;
  at("count-all").textContent = isKnown ? count(fleet.rows.size) : "–";
  at("count-connected").textContent = isKnown ? count(connected) : "–";
  at("count-disconnected").textContent = isKnown ? count(disconnected) : "–";
  at("count-closed").textContent = count(closed);
  at("closed-figure").hidden = closed === 0 && view.state !== "closed";
  for (const part of document.querySelectorAll(".share i")) {
    part.hidden = fleet.counts[part.dataset.state] === 0;
    part.style.flexGrow = fleet.counts[part.dataset.state];
  }
}

function showNothing(shown) {
  const box = at("nothing");
  box.hidden = shown > 0;
  at("grid").hidden = shown === 0;
  if (shown > 0) return;
  if (!fleet.isWhole) {
    box.replaceChildren(make("p", {}, link.is === "open" || link.is === "connecting" ? "Reading the fleet…" : "Nothing is known of the fleet yet."));
  } else if (fleet.rows.size > 0) {
    const all = make("button", { type: "button" }, "Show all devices");
    all.addEventListener("click", () => { at("search").value = ""; choose(""); find(""); });
    box.replaceChildren(make("h2", {}, "No device fits"), make("p", { class: "soft" }, "Nothing has this text and this state."), all);
  } else {
    const host = location.hostname.includes(":") && !location.hostname.startsWith("[") ? `[${location.hostname}]` : location.hostname;
    box.replaceChildren(make("h2", {}, "No device yet"),
      make("p", {}, "Devices appear here when they connect. A simulated fleet of ten:"),
      make("pre", {}, `dtu sim ${host}:55125 --devices 10 --seconds 600`),
      make("p", {}, "One device, sending what it reads from its standard input:"),
      make("pre", {}, `echo hello | dtu connect ${host}:55125 --id meter-7`),
      make("p", { class: "soft" }, "55125 is the port of native devices unless the gateway's settings say otherwise."));
  }
}

function find(text) {
  view.text = text;
  showFleet();
}

function choose(state) {
  view.state = state;
  for (const input of at("figures").querySelectorAll("input")) input.checked = input.value === state;
  showFleet();
}

function sortBy(order, isDown) {
  view.order = order;
  view.isDown = isDown;
  at("sort").value = order;
  at("direction").textContent = isDown ? "↓" : "↑";
  showFleet();
}

at("search").addEventListener("input", (event) => find(event.target.value));
at("figures").addEventListener("change", (event) => choose(event.target.value));
at("sort").append(...COLUMNS.map((column) => make("option", { value: column.name }, column.title)));
at("sort").value = view.order;
at("sort").addEventListener("change", (event) => {
  const column = COLUMNS.find((one) => one.name === event.target.value);
  sortBy(column.name, Boolean(column.isDown));
});
at("direction").addEventListener("click", () => sortBy(view.order, !view.isDown));

// The rate of frames.

function showRate() {
  const rate = link.is === "open" ? fleet.rate() : null;
  at("rate").textContent = rate === null ? "–" : rate < 10 ? rate.toFixed(1) : count(rate);
  const rates = fleet.rates();
  const top = Math.max(1, ...rates);
  const points = rates.map((one, index) => `${RATE_KEPT - rates.length + index + 1},${(31 - (one / top) * 28).toFixed(1)}`);
  at("spark").querySelector("polyline").setAttribute("points", points.join(" "));
  const first = RATE_KEPT - rates.length + 1;
  at("spark").querySelector("polygon").setAttribute("points", points.length > 1 ? `${first},32 ${points.join(" ")} ${RATE_KEPT},32` : "");
}

// The stream's state and its banner.

function showLink() {
  const live = at("live");
  const word = { open: "live", connecting: "connecting", waiting: "not live", unauthorized: "locked" }[link.is];
  live.dataset.state = link.is;
  if (live.textContent !== word) live.textContent = word;
  const isKnown = lastEvent > 0;
  const banner = document.querySelector('#banners [data-banner="stream"]');
  if (link.is === "open" || link.is === "unauthorized") {
    banner?.remove();
  } else if (link.is === "waiting" || (banner && link.is === "connecting")) {
    const box = banner ?? streamBanner();
    const from = isKnown ? ` What is shown is ${span(now() - lastEvent)} old.` : "";
    const again = link.is === "waiting" ? `Trying again in ${span(Math.max(1000, link.until - Date.now() + 999))}.` : "Trying again…";
    box.querySelector("b").textContent = link.why ?? box.querySelector("b").textContent;
    box.querySelector("span").textContent = `${again}${from}`;
  }
  document.body.classList.toggle("stale", isKnown && link.is !== "open");
}

function streamBanner() {
  const retry = make("button", { type: "button" }, "Try now");
  retry.addEventListener("click", () => stream.retry());
  const box = make("div", { class: "banner", "data-kind": "error", "data-banner": "stream" },
    make("p", {}, make("b"), " ", make("span", { "aria-live": "off" })), retry);
  at("banners").prepend(box);
  return box;
}

// The token.

function askToken(error) {
  if (!at("login").hidden) return;
  stream.stop();
  device?.stop();
  device = null;
  const had = token.read() !== null;
  token.forget();
  at("forget").hidden = true;
  at("login-error").hidden = !had;
  at("login-error").textContent = had ? "The gateway did not take this token." : "";
  at("login-said").textContent = error?.message && error.message !== error.code && !/bearer/i.test(error.message) ? `The gateway says: ${visible(error.message)}.` : "";
  for (const name of ["fleet", "device"]) at(name).hidden = true;
  at("login").hidden = false;
  link = { is: "unauthorized" };
  showLink();
  at("token").focus();
}

at("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = at("token").value.trim();
  if (!/^[\x21-\x7e]+$/.test(text)) {
    at("login-error").textContent = "A token has letters, digits and signs only.";
    at("login-error").hidden = false;
    return;
  }
  token.keep(text);
  at("token").value = "";
  open();
});
at("forget").addEventListener("click", () => { token.forget(); location.reload(); });

// A question with yes and no.

function confirm({ title, text, yes, field }) {
  const dialog = at("confirm");
  at("confirm-title").textContent = title;
  at("confirm-text").textContent = text;
  at("confirm-yes").textContent = yes;
  at("confirm-field").hidden = !field;
  at("confirm-field").querySelector("span").textContent = field ?? "";
  const input = at("confirm-field").querySelector("input");
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((tell) => {
    dialog.addEventListener("close", () => tell(dialog.returnValue === "yes" ? { value: input.value.trim() } : null), { once: true });
  });
}

// Where one is.

function deviceOfHash() {
  const found = location.hash.match(/^#\/device\/(.+)$/s);
  if (!found) return null;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

function route() {
  if (!at("login").hidden) return;
  const id = deviceOfHash();
  if (device && device.id === id) return;
  device?.stop();
  device = null;
  if (id === null) {
    document.title = "DTU gateway";
    at("device").hidden = true;
    at("device").replaceChildren();
    at("fleet").hidden = false;
    showFleet();
    scrollTo(0, scrolled);
  } else {
    if (!at("fleet").hidden) scrolled = scrollY;
    at("fleet").hidden = true;
    at("device").hidden = false;
    document.title = "Device – DTU gateway";
    device = new DeviceView({ section: at("device"), id, confirm, onUnauthorized: askToken });
    scrollTo(0, 0);
  }
}

function open() {
  at("login").hidden = true;
  at("forget").hidden = token.read() === null;
  route();
  stream.start();
}

addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || at("confirm").open) return;
  const isTyping = event.target.closest?.("input, textarea, select") !== null;
  if (event.key === "/" && !isTyping && !at("fleet").hidden) {
    event.preventDefault();
    at("search").focus();
  } else if (event.key === "Escape" && event.target === at("search")) {
    at("search").value = "";
    find("");
    at("grid").focus();
  } else if (event.key === "Escape" && !isTyping && device) {
    location.hash = "#/";
  }
});

setInterval(() => {
  showLink();
  if (gateway) showGateway(gateway);
  if (document.hidden) return;
  table.tick();
  device?.tick();
  if (!at("fleet").hidden) { showRate(); showFleet(); }
}, 1000);

open();
