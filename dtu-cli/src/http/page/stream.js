// The stream of events: read through fetch, as EventSource cannot send a token; opened again with jittered, growing pauses.

import { open, words } from "./api.js";

/** Without a byte for this long the stream is taken for lost; the gateway says something each second. */
const SILENCE = 40_000;
const PAUSE_FIRST = 500;
const PAUSE_MAX = 15_000;
/** The longest event, in characters. */
const EVENT_MAX = 64 * 1024 * 1024;
/** Work at a stretch before the page gets its turn, in milliseconds. */
const STRETCH = 10;

/** Cuts text into events: `push` takes what came and gives the events that it completed. */
export class Events {
  #rest = "";
  #seen = 0;
  #name = "";
  #data = [];

  *push(text) {
    this.#rest += text;
    if (this.#rest.length > EVENT_MAX) throw new RangeError("an event is too long");
    let from = 0;
    let end = this.#rest.indexOf("\n", this.#seen);
    while (end !== -1) {
      const line = this.#rest.slice(from, this.#rest[end - 1] === "\r" && end > from ? end - 1 : end);
      from = end + 1;
      if (line === "") {
        const event = { name: this.#name || "message", data: this.#data.join("\n") };
        const isWhole = this.#data.length > 0;
        this.#name = "";
        this.#data = [];
        if (isWhole) yield event;
      } else {
        this.#take(line);
      }
      end = this.#rest.indexOf("\n", from);
    }
    this.#rest = this.#rest.slice(from);
    this.#seen = this.#rest.length;
  }

  #take(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
  }
}

const turn = () => new Promise((go) => { const { port1, port2 } = new MessageChannel(); port2.onmessage = go; port1.postMessage(0); });

/**
 * Keeps a stream open. `onState` hears `connecting`, `open`, `waiting` (`until` in this machine's milliseconds, `why`) and
 * `unauthorized`, which waits for `start`.
 */
export class Stream {
  #stop = null;
  #wake = null;

  constructor({ onEvent, onState }) {
    this.onEvent = onEvent;
    this.onState = onState;
  }

  start() {
    this.stop();
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
  }

  /** Ends the pause. */
  retry() {
    this.#wake?.();
  }

  async #run(signal) {
    let pause = PAUSE_FIRST;
    while (!signal.aborted) {
      this.onState({ is: "connecting" });
      let why;
      try {
        await this.#read(signal, () => { pause = PAUSE_FIRST; });
        why = "The gateway ended the stream.";
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 401) {
          this.onState({ is: "unauthorized", error });
          return;
        }
        if (error.code === "full") why = "The gateway serves as many pages as it may.";
        else why = error.status === undefined ? "The connection to the gateway was lost." : words(error).text;
      }
      if (signal.aborted) return;
      const wait = pause * (0.5 + Math.random() / 2);
      pause = Math.min(pause * 2, PAUSE_MAX);
      this.onState({ is: "waiting", until: Date.now() + wait, why });
      await new Promise((go) => {
        const timer = setTimeout(go, wait);
        this.#wake = () => { clearTimeout(timer); go(); };
        signal.addEventListener("abort", this.#wake, { once: true });
      });
    }
  }

  async #read(signal, isWell) {
    const silence = new AbortController();
    let dog = setTimeout(() => silence.abort(), SILENCE);
    try {
      const answer = await open("events", { signal: AbortSignal.any([signal, silence.signal]), accept: "text/event-stream" });
      this.onState({ is: "open" });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const events = new Events();
      let began = performance.now();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(dog);
        dog = setTimeout(() => silence.abort(), SILENCE);
        for (const event of events.push(value)) {
          isWell();
          this.onEvent(event.name, event.data);
          if (performance.now() - began > STRETCH) {
            await turn();
            if (signal.aborted) return;
            began = performance.now();
          }
        }
      }
    } finally {
      clearTimeout(dog);
      silence.abort();
    }
  }
}
