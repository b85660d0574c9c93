// The head of the page: which gateway, since when, its sinks and what is wrong with it.

import { now } from "./api.js";
import { count, longSpan, make, paint, plural, visible } from "./text.js";

/** The share of the queue's bound from which it is worth a word. */
const QUEUE_NEAR = 0.8;
/** How the gateway says that a sink is why it is not ready. */
const SINK_DOWN = /^sink (.+?) is down: (.*)$/s;

const at = (id) => document.getElementById(id);
let told = null;
let toldAt = 0;

/** Shows what `/counters` says. Called each second with the same, for the time that passes. */
export function showGateway(gateway) {
  if (told !== gateway) {
    told = gateway;
    toldAt = now();
    paint(at("gateway-id"), gateway.id ?? "DTU gateway");
    showSinks(sinksOf(gateway), gateway);
  }
  const up = Number.isFinite(gateway.uptime_ms) ? `up ${longSpan(gateway.uptime_ms + now() - toldAt)}` : "";
  const facts = [gateway.version ? `DTU ${visible(gateway.version)}` : "", up].filter(Boolean).join(" · ");
  if (at("gateway-facts").textContent !== facts) at("gateway-facts").textContent = facts;
}

/** How many devices it says it has; more than any where it does not say. */
export function totalOf({ devices }) {
  return (devices?.connected ?? Infinity) + (devices?.disconnected ?? 0);
}

/**
 * The sinks: those that `sinks` lists, and those that `reasons` says are down. Where none is listed, one stands for all.
 */
function sinksOf({ sinks, ready, reasons }) {
  const found = new Map();
  for (const sink of Array.isArray(sinks) ? sinks : []) {
    const why = typeof sink?.error === "string" ? sink.error : "";
    const stored = `${plural(sink?.records ?? Number.NaN, "record", "records")} stored, ${plural(sink?.failures ?? 0, "failure", "failures")}`;
    found.set(String(sink?.name ?? ""), { isDown: sink?.up === false, isOpen: sink?.breaker_open === true, why, stored });
  }
  for (const reason of textsOf(reasons)) {
    const [, name, why] = reason.match(SINK_DOWN) ?? [];
    if (name !== undefined) found.set(name, { ...found.get(name), isDown: true, why });
  }
  if (found.size === 0 && typeof ready === "boolean") found.set("sinks", { isDown: false });
  return [...found].map(([name, sink]) => ({ name, ...sink }));
}

const textsOf = (list) => (Array.isArray(list) ? list.filter((text) => typeof text === "string") : []);

function showSinks(sinks, gateway) {
  at("sinks").replaceChildren(...sinks.map(({ name, isDown, stored }) => {
    const item = make("li", { "data-state": isDown ? "down" : "up", title: stored }, make("i", { class: "mark" }));
    item.append(paint(make("span"), name), make("span", { class: "sink-word" }, isDown ? "down" : "up"));
    return item;
  }));
  const banners = [];
  for (const reason of textsOf(gateway.reasons).filter((text) => !SINK_DOWN.test(text))) {
    if (reason === "draining") banners.push(["warn", "draining", "The gateway is stopping.", "It takes no new devices, and ends when what it holds is stored."]);
    else banners.push(["error", reason, "The gateway is not ready.", `It says: ${reason}.`]);
  }
  for (const { name, isDown, isOpen, why } of sinks) {
    if (!isDown) continue;
    const more = [why && `It says: ${why}.`, isOpen && "Its breaker is open: it is tried from time to time.", "Devices keep what is not stored; nothing is acknowledged meanwhile."];
    banners.push(["error", `sink ${name}`, `The sink ${name} is down.`, more.filter(Boolean).join(" ")]);
  }
  const { records, capacity } = gateway.queue ?? {};
  if (capacity > 0 && records >= capacity * QUEUE_NEAR) {
    banners.push(["warn", "queue", "The queue to the sinks is nearly full.", `${count(records)} of ${count(capacity)} records wait; devices are held back.`]);
  }
  showBanners(banners);
}

/** Banners by name: one that stays is not told again to those who listen. */
function showBanners(banners) {
  const box = at("banners");
  for (const old of [...box.querySelectorAll("[data-banner]")]) {
    if (old.dataset.banner !== "stream" && !banners.some(([, name]) => name === old.dataset.banner)) old.remove();
  }
  for (const [kind, name, title, text] of banners) {
    let banner = [...box.children].find((one) => one.dataset.banner === name);
    if (!banner) {
      banner = make("div", { class: "banner", "data-kind": kind, "data-banner": name }, make("p", {}, make("b"), " ", make("span")));
      box.append(banner);
    }
    for (const [index, words] of [title, text].entries()) {
      const part = banner.firstChild.children[index];
      if (part.dataset.text === words) continue;
      part.dataset.text = words;
      paint(part, words);
    }
  }
}
