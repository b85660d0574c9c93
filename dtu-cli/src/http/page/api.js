// The API of the gateway: calls, errors in words, and the token, which lives as long as the tab.

const TOKEN = "dtu-token";
/** How long a call may take, apart from what it waits for at the device. */
const PATIENCE = 15_000;

let behind = 0;

/** The gateway's time in milliseconds: this machine's clock, set right by the `Date` of its answers where it is off by seconds. */
export const now = () => Date.now() + behind;

export const token = {
  read: () => sessionStorage.getItem(TOKEN),
  keep: (text) => sessionStorage.setItem(TOKEN, text),
  forget: () => sessionStorage.removeItem(TOKEN),
};

export class ApiError extends Error {
  constructor(status, code, text) {
    super(text || code);
    this.status = status;
    this.code = code;
  }
}

const WORDS = {
  unknown_device: "The gateway knows no such device.",
  not_found: "The gateway has nothing at this address.",
  bad_request: "The gateway could not read the request.",
  already_closed: "The device's session is closed already.",
  too_large: "The request is too large.",
  full: "The queue of this line is full: too many requests wait for their turn.",
  line_gone: "The connection of the device was lost before it answered.",
  timed_out: "The device did not answer in time.",
  expired: "The request's turn on the line did not come in time.",
  unauthorized: "The gateway did not take the token.",
  unreachable: "The gateway cannot be reached.",
  not_json: "What answered is not the gateway's API.",
};

/** What went wrong: a sentence, and what the gateway said beyond it. */
export function words(error) {
  if (!(error instanceof ApiError)) return { text: "The page failed.", detail: String(error?.message ?? error) };
  const text = WORDS[error.code] ?? `The gateway answered with status ${error.status}.`;
  return { text, detail: error.message === error.code ? "" : error.message };
}

/** The path of a device, `rest` behind it. The dots of `.` and `..` would be taken for steps of the path, and cannot be escaped. */
export function devicePath(id, rest = "") {
  if (id === "." || id === "..") {
    throw new ApiError(0, "bad_request", `The id “${id}” cannot stand in an address. Use dtu request.`);
  }
  return `devices/${encodeURIComponent(id)}${rest}`;
}

/** A request with the token; the answer as it comes. */
export async function open(path, { method = "GET", body, signal, accept = "application/json" } = {}) {
  const headers = { accept };
  const secret = token.read();
  if (secret !== null) headers.authorization = `Bearer ${secret}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), {
      method, headers, signal, cache: "no-store", credentials: "same-origin", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted && error.name !== "TimeoutError") throw error;
    throw new ApiError(0, "unreachable", error.name === "TimeoutError" ? "It took too long to answer." : "");
  }
  const theirs = Date.parse(answer.headers.get("date") ?? "");
  const off = theirs + 500 - Date.now();
  if (Number.isFinite(off)) behind = Math.abs(off) > 2000 ? off : 0;
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  const code = typeof told?.error?.code === "string" ? told.error.code : answer.status === 401 ? "unauthorized" : "status";
  throw new ApiError(answer.status, code, typeof told?.error?.text === "string" ? told.error.text : "");
}

/** A call: JSON in, JSON out. `patience` is added to what a call may take. */
export async function call(path, { patience = 0, signal, ...options } = {}) {
  const limits = [AbortSignal.timeout(PATIENCE + patience)];
  if (signal) limits.push(signal);
  const answer = await open(path, { ...options, signal: AbortSignal.any(limits) });
  try {
    return await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(answer.status, "not_json", "");
  }
}
