// The page's side of the interface: requests, errors with their codes, and patience where the queue is full.

const MOST_TRIES = 40;

export class ApiError extends Error {
  constructor(code, message, values = {}) {
    super(message);
    this.code = code;
    this.values = values;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("network", "the page cannot be reached");
  }
  if (response.ok) return response;
  let found = { code: "internal", message: `${response.status} ${response.statusText}` };
  try {
    found = (await response.json()).error;
  } catch {
    // What stands in between, a proxy say, answers in its own way.
  }
  const error = new ApiError(found.code, found.message, found.values);
  error.retryAfter = Number(response.headers.get("Retry-After")) || 0;
  throw error;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}

// Ask again, as often as it takes, where the answer is that too many are waiting.
async function askPatiently(path, options, onWait = () => {}) {
  for (let tries = 1; ; tries++) {
    try {
      return await ask(path, options);
    } catch (error) {
      if (error.code !== "busy" || tries === MOST_TRIES) throw error;
      onWait(error.retryAfter);
      await pause(error.retryAfter || 1, options.signal);
    }
  }
}

function send(path, parameters, blob, signal, onWait) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const headers = { "Content-Type": "application/octet-stream" };
  return askPatiently(`${path}?${query}`, { method: "POST", body: blob, headers, signal }, onWait);
}

export async function getJson(path) {
  return (await ask(path)).json();
}

export async function getBlob(path) {
  return (await ask(path)).blob();
}

export async function recognise(blob, name, previewPx, signal) {
  const found = await (
    await send("api/recognise", { name, preview_px: previewPx }, blob, signal)
  ).json();
  const bytes = Uint8Array.from(atob(found.preview), (letter) => letter.charCodeAt(0));
  return { ...found, preview: new Blob([bytes], { type: "image/png" }) };
}

export async function reduced(blob, name, sidePx) {
  return (await send("api/preview", { name, side_px: sidePx }, blob)).blob();
}

// The restored file, and the report on it.
export async function restore(blob, parameters, signal, onWait) {
  const response = await send("api/restore", parameters, blob, signal, onWait);
  const report = JSON.parse(response.headers.get("Polyrestore-Report"));
  return { blob: await response.blob(), report };
}

export function jobName() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");
}
