/* What every page asks the service with, and what its refusals are called. */

const HEADLINES = {
  400: "This cannot be used",
  401: "The token is not right",
  403: "Switched off",
  404: "Not found",
  408: "The upload was cut off",
  413: "The file is too large",
  415: "This is no audio or video that can be read",
  422: "There is nothing to listen to",
  429: "Too many requests",
  503: "The service is busy",
};

/** Anything that went wrong, in words; `status` 0: the service was not reached, -1: cancelled. */
export class Refusal extends Error {
  constructor(status, message, retryAfter = 0, body = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
    this.body = body;
    this.headline = status === -1 ? "Cancelled" : status === 0 ? "The service was not reached" : HEADLINES[status] || "Something went wrong";
  }

  toString() {
    return this.status === -1 ? "Cancelled." : `${this.headline}. ${this.message}`;
  }
}

/** Send a request and give the answer's JSON. `progress` gets 0..1 while the body is sent; `signal` cancels. */
export function ask(method, address, { body = null, token = "", headers = {}, progress = null, signal = null } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (progress) {
      request.upload.addEventListener("progress", (event) => event.lengthComputable && progress(event.loaded / event.total));
      request.upload.addEventListener("load", () => progress(1));
    }
    request.addEventListener("load", () => {
      const answer = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300 && answer) return resolve(answer);
      const seconds = Number(request.getResponseHeader("Retry-After")) || 0;
      reject(new Refusal(request.status, answer?.message || "The service gave an answer that makes no sense.", seconds, answer || {}));
    });
    request.addEventListener("error", () => reject(new Refusal(0, "Check the connection, and try again.")));
    request.addEventListener("abort", () => reject(new Refusal(-1, "Cancelled.")));
    signal?.addEventListener("abort", () => request.abort());
    if (signal?.aborted) return reject(new Refusal(-1, "Cancelled."));
    request.send(body);
  });
}

/** The same, sent again as the service says while it is busy; `waiting` is told for how many seconds. */
export async function askPatiently(method, address, options = {}, waiting = () => {}, times = 4) {
  for (let left = times; ; left -= 1) {
    try {
      return await ask(method, address, options);
    } catch (refusal) {
      if (!refusal.retryAfter || ![429, 503].includes(refusal.status) || left <= 1 || refusal.retryAfter > 30) throw refusal;
      waiting(refusal.retryAfter);
      await pause(refusal.retryAfter * 1000, options.signal);
    }
  }
}

export function pause(milliseconds, signal = null) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Refusal(-1, "Cancelled."));
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new Refusal(-1, "Cancelled."));
    });
  });
}

/** A form with a file in it, as the service takes it. */
export function form(file, name, fields = {}) {
  const data = new FormData();
  for (const [key, value] of Object.entries(fields)) if (value !== "" && value !== null) data.append(key, value);
  data.append("file", file, name);
  return data;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
