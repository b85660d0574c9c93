// The fleet as the stream tells it: rows by id, counts, the rate of frames, and a view that is filtered and in order.

/** Seconds that the rate of frames is taken over, and seconds that are kept of it. */
const RATE_OVER = 5;
export const RATE_KEPT = 120;

/** An id so that `meter-9` comes before `meter-10`: each number padded. */
const natural = (id) => id.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));

const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const whole = (value) => number(value) ?? 0;
const STATE_ORDER = { disconnected: 0, closed: 1, connected: 2 };

/** Columns by name: how a row is read for an order. Nothing comes last either way. */
export const ORDERS = {
  state: (row) => STATE_ORDER[row.state] ?? 3,
  id: (row) => row.rank,
  kind: (row) => row.kind,
  rtt_ms: (row) => row.rtt_ms,
  last_seen: (row) => row.last_seen,
  frames: (row) => row.frames,
  errors: (row) => row.errors,
  takeovers: (row) => row.takeovers,
  connections: (row) => row.connections,
  peer: (row) => row.peer,
};

export class Fleet {
  rows = new Map();
  counts = { connected: 0, disconnected: 0, closed: 0 };
  /** Whether all rows of this stream are in. */
  isWhole = false;
  /** Grows with each change that can move a row into or out of the view or change what is in it. */
  version = 0;
  #round = 0;
  #told = 0;
  #rowsTold = 0;
  #arrived = 0;
  /** When the second before ended; null before the first of a stream. */
  #sampled = null;
  #seconds = [];
  #isRanked = true;

  /** A stream opens: it tells all rows again, and those that it does not tell are gone. */
  begin() {
    this.#round += 1;
    this.#told = 0;
    this.#sampled = null;
    this.#rowsTold = 0;
    this.isWhole = false;
  }

  /** Takes rows as the gateway tells them. What is no row is left out. */
  apply(rows) {
    for (const told of rows) {
      if (typeof told?.id !== "string" || told.id === "") continue;
      const before = this.rows.get(told.id);
      if (before?.round !== this.#round) this.#rowsTold += 1;
      const row = {
        id: told.id,
        kind: String(told.kind ?? ""),
        state: String(told.state ?? ""),
        peer: typeof told.peer === "string" ? told.peer : null,
        rtt_ms: number(told.rtt_ms),
        last_seen: number(told.last_seen),
        since: number(told.since),
        frames: whole(told.frames),
        bytes: whole(told.bytes),
        errors: whole(told.errors),
        takeovers: whole(told.takeovers),
        connections: whole(told.connections),
        round: this.#round,
        key: before?.key ?? natural(told.id),
        rank: before?.rank ?? 0,
        lower: before?.lower ?? told.id.toLowerCase(),
        hasNews: false,
      };
      if (before) {
        this.#tally(before, -1);
        if (row.frames > before.frames && before.round === this.#round) {
          this.#arrived += row.frames - before.frames;
          row.hasNews = true;
        }
      } else {
        this.#isRanked = false;
      }
      this.#tally(row, 1);
      this.rows.set(row.id, row);
    }
    this.version += 1;
  }

  forget(ids) {
    for (const id of ids) this.#remove(id);
    this.version += 1;
  }

  /**
   * The gateway told of itself, and of `total` devices. It does so each second, between rows only when there are no more of
   * them: with that many rows, or the second time, all rows of this stream are in. Those of before that it did not tell are gone.
   */
  mark(total) {
    this.#told += 1;
    if (this.isWhole || !(this.#rowsTold >= total || this.#told > 1)) return;
    for (const row of [...this.rows.values()]) if (row.round !== this.#round) this.#remove(row.id);
    this.isWhole = true;
    this.version += 1;
  }

  #remove(id) {
    const row = this.rows.get(id);
    if (!row) return;
    this.#tally(row, -1);
    this.rows.delete(id);
  }

  #tally(row, by) {
    if (row.state in this.counts) this.counts[row.state] += by;
  }

  /**
   * The gateway has told of a second: what arrived in it goes into the rate. By its seconds and not by the page's, which would now
   * and then have none of them or two.
   */
  second(at) {
    if (this.#sampled !== null && at > this.#sampled) {
      this.#seconds.push((this.#arrived * 1000) / (at - this.#sampled));
      if (this.#seconds.length > RATE_KEPT) this.#seconds.shift();
    }
    // The first of a stream is no whole second.
    this.#sampled = this.isWhole ? at : null;
    this.#arrived = 0;
  }

  /** Frames a second, or null where it is too early to say. */
  rate() {
    const last = this.#seconds.slice(-RATE_OVER);
    return last.length < 2 ? null : last.reduce((sum, frames) => sum + frames, 0) / last.length;
  }

  /** The rate of each second kept, over three seconds each, as rows come in bursts. */
  rates() {
    return this.#seconds.map((_, index, all) => {
      const near = all.slice(Math.max(0, index - 2), index + 1);
      return near.reduce((sum, frames) => sum + frames, 0) / near.length;
    });
  }

  /** The rows that `text` and `state` leave, in order. */
  view({ text, state, order, isDown }) {
    this.#rank();
    const wanted = text.trim().toLowerCase();
    const rows = [];
    for (const row of this.rows.values()) {
      if (state !== "" && row.state !== state) continue;
      if (wanted !== "" && !row.lower.includes(wanted) && !row.kind.startsWith(wanted) && !row.peer?.includes(wanted)) continue;
      rows.push(row);
    }
    const read = ORDERS[order] ?? ORDERS.id;
    const way = isDown ? -1 : 1;
    return rows.sort((a, b) => {
      const left = read(a);
      const right = read(b);
      if (left === right) return a.rank - b.rank;
      if (left === null) return 1;
      if (right === null) return -1;
      return left < right ? -way : way;
    });
  }

  #rank() {
    if (this.#isRanked) return;
    const rows = [...this.rows.values()];
    rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id < b.id ? -1 : 1));
    rows.forEach((row, rank) => { row.rank = rank; });
    this.#isRanked = true;
  }
}
