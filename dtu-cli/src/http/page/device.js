// One device: what it is, its counters, the request box, its last frames and its timeline.

import { ApiError, call, devicePath, now, words } from "./api.js";
import { bytesOf, hexView } from "./hex.js";
import { requestBox } from "./request.js";
import { clock, count, date, day, longSpan, make, milliseconds, paint, plural, span, stateWord, visible } from "./text.js";

/** The shortest time between two looks at the device, in milliseconds. */
const LOOK = 1000;
/** A device that the stream says nothing of is looked at this often all the same. */
const LOOK_IDLE = 10_000;
const EVENT_MARKS = { connected: "good", resumed: "good", identified: "good", disconnected: "away", closed: "away", skipped: "warn", missing: "warn", lost: "warn", refused: "warn" };

export class DeviceView {
  #frames = new Map();
  #look = null;
  #timer = 0;
  #last = 0;
  #isPaused = false;
  #isDrawn = false;
  #row = null;
  /** Another view has its place: what comes late does nothing any more. */
  #isOver = false;

  constructor({ section, id, confirm, onUnauthorized }) {
    this.section = section;
    this.id = id;
    this.confirm = confirm;
    this.onUnauthorized = onUnauthorized;
    section.replaceChildren(make("p", { class: "nothing", role: "status" }, "Reading the device…"));
    this.look();
  }

  stop() {
    this.#isOver = true;
    this.resize?.disconnect();
    clearTimeout(this.#timer);
    this.#look?.abort();
  }

  /** The stream told something of it: looks again, at most once a second. */
  handleRow(row) {
    if (!this.#isDrawn) return;
    this.#showRow(row);
    this.#plan(LOOK);
  }

  #plan(after) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), Math.max(0, this.#last + after - Date.now()));
  }

  async look() {
    if (this.#look || this.#isOver) return;
    this.#look = new AbortController();
    this.#last = Date.now();
    try {
      const told = await call(devicePath(this.id), { signal: this.#look.signal });
      if (typeof told?.device?.id !== "string") throw new ApiError(200, "not_json", "");
      this.#show(told);
      this.#plan(LOOK_IDLE);
    } catch (error) {
      if (this.#look.signal.aborted) return;
      if (error.status === 401) this.onUnauthorized(error);
      else this.#fail(error);
    } finally {
      this.#look = null;
    }
  }

  #fail(error) {
    const { text, detail } = words(error);
    if (this.#isDrawn) {
      const what = error.status === 404 ? "The gateway has no session of this device any more." : text;
      this.trouble.textContent = `${what} What is shown is from ${clock(this.told)}.`;
      this.trouble.hidden = false;
      this.#plan(LOOK_IDLE);
      return;
    }
    const again = make("button", { type: "button" }, "Try again");
    again.addEventListener("click", () => this.look());
    this.section.replaceChildren(back(), make("div", { class: "nothing", role: "alert" },
      make("h1", { id: "device-title" }, error.status === 404 ? "No such device" : "The device cannot be shown"),
      paint(make("p", { class: "mono id" }), this.id), make("p", {}, text), detail ? paint(make("p", { class: "soft" }), detail) : null, again));
    if (error.status === 404) this.#plan(LOOK_IDLE);
  }

  #draw(row) {
    this.#isDrawn = true;
    this.#frames.clear();
    this.title = paint(make("h1", { id: "device-title", class: "mono id" }), this.id);
    this.state = make("span", { class: "state" }, make("i", { class: "mark" }), make("b"), make("span", { class: "soft" }));
    this.facts = new Map(["Kind", "Address", "Last seen", "Round trip", "Frames", "Bytes", "Errors, bytes", "Takeovers", "Connections"].map((name) => [name, make("dd")]));
    this.trouble = make("p", { class: "banner", "data-kind": "error", role: "status", hidden: true });
    this.timeline = make("ol", { class: "timeline" });
    this.frames = make("div", { class: "frames" });
    this.close = make("button", { type: "button", class: "danger" }, "Close session…");
    this.close.addEventListener("click", () => this.#close());
    this.closed = make("p", { role: "status", class: "soft" });
    const pause = make("button", { type: "button", "aria-pressed": "false" }, "Hold");
    pause.addEventListener("click", () => {
      this.#isPaused = !this.#isPaused;
      pause.setAttribute("aria-pressed", String(this.#isPaused));
      pause.textContent = this.#isPaused ? "Follow" : "Hold";
      if (!this.#isPaused) this.look();
    });
    const facts = make("dl", { class: "device-facts" }, ...[...this.facts].map(([name, value]) => make("div", {}, make("dt", {}, name), value)));
    const box = requestBox({ id: this.id, isNative: row.kind === "native", confirm: this.confirm, onReply: () => this.look() });
    this.section.replaceChildren(back(),
      make("div", { class: "device-head" }, make("div", {}, this.title, this.state), make("div", { class: "device-close" }, this.close, this.closed)),
      this.trouble, facts,
      make("div", { class: "device-parts" },
        make("section", { class: "part-frames" }, make("div", { class: "part-head" }, make("h2", {}, "Last frames"), pause), this.frames),
        make("section", { class: "part-request" }, make("h2", {}, "Request"), box),
        make("section", { class: "part-timeline" }, make("h2", {}, "Timeline"), this.timeline)));
    this.resize = new ResizeObserver(() => this.#showFrames(this.last ?? []));
    this.resize.observe(this.frames);
  }

  #show({ device, timeline, frames }) {
    if (!this.#isDrawn) this.#draw(device);
    this.trouble.hidden = true;
    this.told = now();
    this.#showRow(device);
    this.#showTimeline(Array.isArray(timeline) ? timeline : []);
    if (!this.#isPaused) {
      this.last = Array.isArray(frames) ? frames : [];
      this.#showFrames(this.last);
    }
  }

  #showRow(row) {
    this.#row = row;
    this.state.dataset.state = row.state;
    this.state.children[1].textContent = stateWord(row.state);
    this.close.disabled = row.state === "closed";
    paint(this.facts.get("Kind"), row.kind);
    paint(this.facts.get("Address"), row.peer ?? "–");
    const texts = {
      "Round trip": milliseconds(row.rtt_ms ?? Number.NaN),
      Frames: count(row.frames), Bytes: count(row.bytes), "Errors, bytes": count(row.errors),
      Takeovers: count(row.takeovers), Connections: count(row.connections),
    };
    for (const [name, text] of Object.entries(texts)) this.facts.get(name).textContent = text;
    this.tick();
  }

  /** Times that tick. */
  tick() {
    if (!this.#isDrawn || !this.#row) return;
    const { last_seen: seen, since } = this.#row;
    this.facts.get("Last seen").textContent = Number.isFinite(seen) ? (now() - seen < 1000 ? "now" : `${span(now() - seen)} ago`) : "never";
    this.facts.get("Last seen").title = date(seen);
    this.state.children[2].textContent = Number.isFinite(since) ? `for ${longSpan(now() - since)}` : "";
  }

  #showTimeline(events) {
    const keys = events.map((event) => `${event.at} ${event.event} ${event.text}`).join("\n");
    if (this.timelineKeys === keys) return;
    this.timelineKeys = keys;
    this.timeline.replaceChildren(...events.map((event) => {
      const time = now() - event.at > 43_200_000 ? day(event.at) : clock(event.at);
      return make("li", { "data-kind": EVENT_MARKS[event.event] ?? "plain" },
        make("time", { title: date(event.at) }, time), paint(make("b"), String(event.event ?? "").replaceAll("_", " ")), paint(make("span"), event.text ?? ""));
    }));
    if (events.length === 0) this.timeline.append(make("li", { class: "soft" }, "Nothing happened yet."));
  }

  /** Frames that stay keep their elements, so that what is hovered or focused stays so. */
  #showFrames(frames) {
    const lines = width(this.frames);
    const next = new Map();
    for (const frame of frames) {
      let key = `${lines} ${frame.at} ${frame.direction} ${frame.channel} ${frame.seq} ${frame.hex}`;
      while (next.has(key)) key += "+";
      next.set(key, this.#frames.get(key) ?? frameOf(frame, lines, this.#row.kind === "native"));
    }
    const isSame = next.size === this.#frames.size && [...next.keys()].every((key) => this.#frames.has(key));
    if (isSame && this.frames.hasChildNodes()) return;
    for (const [key, element] of this.#frames) if (!next.has(key)) element.remove();
    this.#frames = next;
    let before = null;
    for (const element of next.values()) {
      const place = before ? before.nextSibling : this.frames.firstChild;
      if (element !== place) this.frames.insertBefore(element, place);
      before = element;
    }
    if (next.size === 0) this.frames.replaceChildren(make("p", { class: "soft" }, "No frame yet. The last ones are kept from now on."));
    else for (const child of [...this.frames.children]) if (child.tagName === "P") child.remove();
  }

  async #close() {
    const text = "The gateway ends its session and its connection. What the device has not been acknowledged it sends again when it dials in anew.";
    const answer = await this.confirm({ title: `Close the session of ${visible(this.id)}?`, text, yes: "Close session", field: "Reason, for the log" });
    if (!answer) return;
    this.close.disabled = true;
    this.closed.textContent = "Closing…";
    try {
      await call(devicePath(this.id, "/close"), { method: "POST", body: answer.value === "" ? {} : { reason: answer.value } });
      this.closed.textContent = "The session is closed.";
    } catch (error) {
      const { text: told, detail } = words(error);
      this.closed.textContent = visible(`${told} ${detail}`.trim());
      this.close.disabled = this.#row?.state === "closed";
    }
    this.look();
  }
}

const back = () => make("a", { class: "back", href: "#/" }, "← The fleet");

/** Bytes a line: what fits. */
const width = (element) => (element.clientWidth > 0 && element.clientWidth < 600 ? 8 : 16);

function frameOf(frame, lines, isNative) {
  const bytes = bytesOf(frame.hex ?? "");
  const isUp = frame.direction === "up";
  const length = Number.isInteger(frame.length) ? frame.length : bytes.length;
  const head = make("header", {}, make("strong", { class: isUp ? "up" : "down" }, isUp ? "↑ from the device" : "↓ to the device"),
    make("time", { title: date(frame.at) }, clock(frame.at)));
  if (isNative && Number.isInteger(frame.channel)) head.append(make("span", {}, `channel ${frame.channel}`));
  if (frame.seq !== null && frame.seq !== undefined) head.append(make("span", {}, `seq ${visible(frame.seq)}`));
  head.append(make("span", {}, length > bytes.length ? `${plural(length, "byte", "bytes")}, the first ${bytes.length} kept` : plural(length, "byte", "bytes")));
  return make("article", { class: "frame" }, head, hexView(bytes, frame.fields, lines));
}
