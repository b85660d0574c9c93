// The table of the fleet: only rows that can be seen are in the document, in elements that are used again.

import { now } from "./api.js";
import { count, make, milliseconds, paint, span, stateWord, visible } from "./text.js";

/** Columns as they stand, with what sorts first when one is chosen. `phone` is what stands behind the value on a card. */
export const COLUMNS = [
  { name: "state", title: "State" },
  { name: "id", title: "Device" },
  { name: "kind", title: "Kind" },
  { name: "rtt_ms", title: "Round trip", isNumber: true, isDown: true },
  { name: "last_seen", title: "Last seen", isNumber: true, isDown: true },
  { name: "frames", title: "Frames", isNumber: true, isDown: true, phone: "frames" },
  { name: "errors", title: "Errors", isNumber: true, isDown: true, phone: "errors", hint: "Bytes that were skipped because no frame fits them" },
  { name: "takeovers", title: "Takeovers", isNumber: true, isDown: true, phone: "takeovers", hint: "Connections that replaced one that was still open" },
  { name: "connections", title: "Connections", isNumber: true, isDown: true, phone: "connections" },
  { name: "peer", title: "Address" },
];
/** Rows beyond the edges of the window that are kept ready. */
const SPARE = 8;
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

export const deviceHash = (id) => `#/device/${encodeURIComponent(id.toWellFormed?.() ?? id)}`;

export class Table {
  #rows = [];
  #slots = [];
  #active = -1;
  #frame = 0;
  #rowHeight = 40;

  constructor({ grid, head, body, onSort, onOpen }) {
    this.grid = grid;
    this.body = body;
    this.onOpen = onOpen;
    this.heads = new Map(COLUMNS.map((column) => [column.name, headOf(column, () => onSort(column))]));
    head.append(...this.heads.values());
    grid.setAttribute("aria-colcount", COLUMNS.length);
    grid.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.#measure()).observe(document.documentElement);
    this.#measure();
  }

  /** The rows in order; `order` and `isDown` are told by the heads. */
  show(rows, { order, isDown }) {
    const active = this.#rows[this.#active]?.id;
    this.#rows = rows;
    if (active !== undefined) this.#active = rows.findIndex((row) => row.id === active);
    for (const [name, head] of this.heads) {
      if (name === order) head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    this.grid.setAttribute("aria-rowcount", rows.length + 1);
    this.body.style.height = `${rows.length * this.#rowHeight}px`;
    this.draw();
  }

  /** New values for rows that stay where they are. */
  refresh(read) {
    const rows = this.#rows;
    for (let index = 0; index < rows.length; index += 1) rows[index] = read(rows[index].id) ?? rows[index];
    this.draw();
  }

  /** Whether somebody points at a row or walks through them, and would lose it if the order changed. */
  get isHeld() {
    return this.body.matches(":hover") || (this.#active !== -1 && document.activeElement === this.grid);
  }

  draw() {
    this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
  }

  /** Times that tick: only those in the window. */
  tick() {
    for (const slot of this.#slots) if (slot.row) paintSeen(slot);
  }

  #measure() {
    const height = parseFloat(getComputedStyle(this.grid).getPropertyValue("--row"));
    if (height > 0) this.#rowHeight = height;
    this.body.style.height = `${this.#rows.length * this.#rowHeight}px`;
    for (const slot of this.#slots) slot.index = -1;
    this.draw();
  }

  #draw() {
    if (this.body.offsetParent === null) return;
    const height = this.#rowHeight;
    const top = -this.body.getBoundingClientRect().top;
    const size = Math.ceil(innerHeight / height) + 2 * SPARE;
    while (this.#slots.length < size) this.#slots.push(this.#slot(this.#slots.length));
    const total = this.#slots.length;
    const first = Math.min(Math.max(0, Math.floor(top / height) - SPARE), Math.max(0, this.#rows.length - total));
    for (let index = first; index < first + total; index += 1) {
      const slot = this.#slots[index % total];
      const row = this.#rows[index];
      if (!row) {
        if (slot.row) { slot.element.hidden = true; slot.row = null; slot.index = -1; }
        continue;
      }
      if (slot.index !== index) {
        slot.index = index;
        slot.element.style.transform = `translateY(${index * height}px)`;
        slot.element.setAttribute("aria-rowindex", index + 2);
      }
      const isActive = index === this.#active;
      if (slot.isActive !== isActive) {
        slot.isActive = isActive;
        slot.element.classList.toggle("active", isActive);
        slot.element.setAttribute("aria-selected", String(isActive));
        if (isActive) this.grid.setAttribute("aria-activedescendant", slot.element.id);
      }
      if (slot.row !== row) paintRow(slot, row);
    }
  }

  #slot(number) {
    const cells = new Map(COLUMNS.map((column) => [column.name, make("div", { role: "gridcell", class: `c-${column.name}`, "data-unit": column.phone })]));
    const mark = make("i", { class: "mark" });
    const word = make("span");
    cells.get("state").append(mark, word);
    const link = make("a", { tabindex: "-1" });
    cells.get("id").append(link);
    const element = make("div", { role: "row", id: `row-${number}`, class: "row", hidden: true }, ...cells.values());
    this.body.append(element);
    return { element, cells, mark, word, link, row: null, index: -1, isActive: false, told: new Map() };
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target !== this.grid) return;
    const page = Math.max(1, Math.floor(innerHeight / this.#rowHeight) - 4);
    const last = this.#rows.length - 1;
    const to = {
      ArrowDown: this.#active + 1, ArrowUp: this.#active - 1, PageDown: this.#active + page, PageUp: this.#active - page,
      Home: 0, End: last,
    }[event.key];
    if (to !== undefined && last >= 0) {
      event.preventDefault();
      this.#active = Math.min(Math.max(to, 0), last);
      this.#reveal();
    } else if (event.key === "Enter" && this.#rows[this.#active]) {
      event.preventDefault();
      this.onOpen(this.#rows[this.#active].id);
    }
  }

  #reveal() {
    const box = this.body.getBoundingClientRect();
    const head = this.grid.querySelector(".head").getBoundingClientRect();
    const top = box.top + this.#active * this.#rowHeight;
    const free = Math.max(head.bottom, 0);
    if (top < free) scrollBy(0, top - free);
    else if (top + this.#rowHeight > innerHeight) scrollBy(0, top + this.#rowHeight - innerHeight + 8);
    this.#draw();
  }
}

function headOf(column, choose) {
  const button = make("button", { type: "button", title: column.hint }, column.title);
  button.addEventListener("click", choose);
  return make("div", { role: "columnheader", class: `c-${column.name}` }, button);
}

/** Writes a cell only where its text changed. */
function tell(slot, name, text) {
  if (slot.told.get(name) === text) return;
  slot.told.set(name, text);
  slot.cells.get(name).textContent = text;
}

function paintSeen(slot) {
  const { row } = slot;
  tell(slot, "last_seen", row.last_seen === null ? "never" : now() - row.last_seen < 1000 ? "now" : `${span(now() - row.last_seen)} ago`);
}

function paintRow(slot, row) {
  const isSame = slot.row?.id === row.id;
  slot.row = row;
  slot.element.hidden = false;
  if (!isSame) {
    paint(slot.link, row.id);
    slot.link.title = visible(row.id);
    slot.link.href = deviceHash(row.id);
  }
  if (slot.told.get("state") !== row.state) {
    slot.told.set("state", row.state);
    slot.element.dataset.state = row.state;
    slot.word.textContent = stateWord(row.state);
  }
  tell(slot, "kind", visible(row.kind));
  tell(slot, "rtt_ms", row.rtt_ms === null ? "–" : milliseconds(row.rtt_ms));
  paintSeen(slot);
  for (const name of ["frames", "errors", "takeovers", "connections"]) {
    tell(slot, name, count(row[name]));
    slot.cells.get(name).classList.toggle("zero", row[name] === 0);
  }
  tell(slot, "peer", row.peer === null ? "–" : visible(row.peer));
  if (isSame && row.hasNews && !CALM.matches) pulse(slot.mark);
  row.hasNews = false;
}

function pulse(mark) {
  mark.animate([{ boxShadow: "0 0 0 0 currentColor" }, { boxShadow: "0 0 0 5px transparent" }], { duration: 700, easing: "ease-out" });
}
