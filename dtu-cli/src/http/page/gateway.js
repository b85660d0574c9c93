// The head of the page: which gateway, since when, its sinks and what is wrong with it.

import { now } from "./api.js";
import { count, longSpan, make, paint, visible } from "./text.js";

/** The share of the queue's bound from which it is worth a word. */
const QUEUE_NEAR = 0.8;

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

function sinksOf(gateway) {
  if (!Array.isArray(gateway.sinks)) return [];
  return gateway.sinks.map((sink) => ({
    name: String(sink?.name ?? ""),
    isDown: sink?.up === false,
    isOpen: sink?.breaker_open === true,
    error: typeof sink?.error === "string" ? sink.error : "",
  }));
}

function showSinks(sinks, gateway) {
  at("sinks").replaceChildren(...sinks.map((sink) => {
    const item = make("li", { "data-state": sink.isDown ? "down" : "up" }, make("i", { class: "mark" }));
    item.append(paint(make("span"), sink.name), make("span", { class: "sink-word" }, sink.isDown ? " down" : " up"));
    return item;
  }));
  const banners = [];
  for (const sink of sinks) {
    if (!sink.isDown) continue;
    const more = [sink.error && `It says: ${sink.error}.`, sink.isOpen ? "Its breaker is open: it is tried from time to time." : "", "Devices keep what is not stored; nothing is acknowledged meanwhile."];
    banners.push(["error", `sink ${sink.name}`, `The sink ${sink.name} is down.`, more.filter(Boolean).join(" ")]);
  }
  const reasons = Array.isArray(gateway.reasons) ? gateway.reasons.filter((reason) => typeof reason === "string") : [];
  if (reasons.length > 0 && banners.length === 0) banners.push(["error", "ready", "The gateway is not ready.", `It says: ${reasons.join("; ")}.`]);
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
