"use strict";
// One file on its way, in parts: a row with its progress, that can be paused, stopped,
// and gone on with after the page was left. Scripts of pages make them of what they are
// given, by what this leaves in their reach:
//
//   const item = Resumable.item(file, words, list, { endpoint, folder, ... });
//   item.start();
//
// The words are data attributes, in the page's language; the row is put into the list.
// `endpoint` is where uploads begin; `stored(item)` is told once the file is stored,
// `changed(item)` of each end, each pause, and when it waits to be started again, and
// `removed(item)` once the row is put away.
// A classic script, which a store of static files may send from another host, and a
// block, so that its names are its own.
{
const PIECE = 16 * 1024 * 1024; // bytes; what is sent twice at most, and the server's part
// Milliseconds between attempts; the count begins anew with each byte that arrives.
const DELAYS = [0, 1000, 2000, 4000, 8000, 15000, 30000, 30000, 30000, 60000, 60000];
// The same for an upload that is stopped: somebody waits for that.
const STOP_DELAYS = [0, 1000, 2000, 4000];
// Statuses of a POST after which the next one may begin another upload.
const SPENT = [201, 404, 410, 422];

// Whether that may be another status soon. No room (507) stays so.
const passes = (status) =>
  status === 408 || status === 429 || (status >= 500 && status !== 507);

function makeItem(file, words, list, { endpoint, folder = "", stored, changed, removed }) {
  const units = words.units.split("|");
  const row = document.createElement("li");
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = name.title = folder ? `${folder}/${file.name}` : file.name;
  const bar = document.createElement("progress");
  bar.max = file.size || 1;
  bar.value = 0;
  bar.setAttribute("aria-label", words.progress.replace("{name}", file.name));
  const state = document.createElement("span");
  state.className = "state";
  const buttons = document.createElement("span");
  buttons.className = "buttons";
  const pause = button(buttons, "plain");
  const stop = button(buttons, "plain");
  row.append(name, buttons, bar, state);
  list.append(row);

  const item = { state: "waiting", sent: 0, start, remove: () => row.remove() };

  const label = (which, text) => {
    which.hidden = !text;
    which.replaceChildren(text ?? "");
    const of = document.createElement("span");
    of.className = "visually-hidden";
    of.textContent = ` ${file.name}`;
    which.append(of);
  };

  const show = (text, first, second, kind = "") => {
    const had = document.activeElement === pause;
    state.textContent = text;
    row.className = kind;
    label(pause, first);
    label(stop, second);
    // A button that is hidden would drop the focus.
    if (had && !first) stop.focus();
  };

  const amounts = (text) =>
    text.replace("{sent}", size(item.sent, units)).replace("{all}", size(file.size, units));

  let key = newKey();

  const upload = new tus.Upload(file, {
    endpoint,
    chunkSize: PIECE,
    retryDelays: DELAYS,
    onBeforeRequest: (request) => {
      // Whoever signs in anew, in another window, has another token there.
      request.setHeader("X-CSRFToken", csrfToken());
      // What begins the upload is sent again where its response is lost.
      if (request.getMethod() === "POST") request.setHeader("Idempotency-Key", key);
    },
    metadata: { filename: file.name, filetype: file.type, folder },
    removeFingerprintOnSuccess: true,
    // Another folder, or somebody else who signs in here, is another upload.
    fingerprint: async () =>
      JSON.stringify([words.user, endpoint, folder, file.name, file.size, file.lastModified]),
    onAfterResponse: (request, response) => {
      const status = response.getStatus();
      // Nothing else begins under this key, also once its upload is gone.
      if (request.getMethod() === "POST" && SPENT.includes(status)) key = newKey();
      // tus-js-client takes any error but 423 for the end of the upload, and begins
      // anew without asking. A web server before the site says 502 while that starts
      // again. What is thrown here is an attempt without a response: it comes back.
      if (request.getMethod() === "HEAD" && passes(status)) {
        throw new Error(`HEAD: ${status}`);
      }
    },
    onShouldRetry: (error) => {
      const status = error.originalResponse?.getStatus() ?? 0;
      if (item.state === "running" && (status === 0 || passes(status))) {
        show(status ? words.away : words.offline, words.pause, words.stop);
      }
      return status === 0 || passes(status) || status === 409 || status === 423;
    },
    onProgress: (sent) => {
      if (item.state !== "running") return;
      item.sent = bar.value = sent;
      const all = sent === file.size;
      show(all ? words.finishing : amounts(words.uploading), words.pause, words.stop);
    },
    onSuccess: ({ lastResponse }) => {
      bar.value = bar.max;
      // Where it takes long to make one file of what came, a job does it.
      const job = lastResponse?.getHeader("Job-Id");
      if (job) storeBy(job);
      else finish();
      changed(item);
    },
    onError: (error) => {
      fail(why(error, words));
      changed(item);
    },
  });

  function finish() {
    item.state = "done";
    show(words.done, null, words.remove, "done");
    stored(item);
  }

  function fail(text) {
    item.state = "failed";
    bar.className = "error";
    show(text, words.retry, words.remove, "error");
  }

  async function storeBy(job) {
    item.state = "storing";
    show(words.finishing, null, words.stop);
    while (item.state === "storing") {
      const told = await ask(`${words.jobs}${job}/`);
      if (item.state !== "storing") return;
      if (told.state === "done") finish();
      else if (told.state === "cancelled") stopped();
      else if (told.state === "failed") fail(told.error || words.signedOut);
      else {
        const part = told.of ? ` ${Math.floor((100 * told.done) / told.of)} %` : "";
        show(words.finishing + part, null, words.stop);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    changed(item);
  }

  function stopped() {
    item.state = "stopped";
    show(words.stopped, null, words.remove);
  }

  async function start() {
    item.state = "running";
    bar.className = "";
    show(amounts(words.uploading), words.pause, words.stop);
    try {
      const [before] = await upload.findPreviousUploads();
      if (before && !upload.url) upload.resumeFromPreviousUpload(before);
    } catch {
      // Nothing is kept by this browser: it begins anew.
    }
    if (item.state === "running") upload.start();
  }

  pause.addEventListener("click", async () => {
    if (item.state === "running" || item.state === "waiting") {
      const was = item.state;
      item.state = "paused";
      if (was === "running") await upload.abort();
      show(amounts(words.paused), words.resume, words.stop);
      changed(item);
    } else {
      item.state = "waiting";
      show(words.waiting, words.pause, words.stop);
      changed(item);
    }
  });

  stop.addEventListener("click", async () => {
    if (["done", "failed", "stopped"].includes(item.state)) {
      item.remove();
      removed(item);
      return;
    }
    stopped();
    upload.options.retryDelays = STOP_DELAYS;
    // What has come of it is given up on the server, too; its sweep does it else.
    await upload.abort(true).catch(() => {});
    changed(item);
  });

  show(words.waiting, words.pause, words.stop);
  return item;
}

function newKey() {
  // In pages without TLS there is no crypto.randomUUID.
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

function button(place, kind) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = `button small ${kind}`;
  place.append(made);
  return made;
}

function why(error, words) {
  const response = error.originalResponse;
  if (!response) return words.lost;
  const status = response.getStatus();
  if (status === 401 || status === 403) return words.signedOut;
  const failed = words.failed.replace("{status}", status);
  try {
    return JSON.parse(response.getBody()).detail || failed;
  } catch {
    return failed;
  }
}

// Return what a job's address says; nothing while the site is away. A job that is gone,
// or whoever is not signed in any more, gets no JSON: it has failed for all that is known.
async function ask(address) {
  try {
    const response = await fetch(address, { redirect: "manual" });
    if (passes(response.status)) return {};
    return response.ok ? await response.json() : { state: "failed" };
  } catch {
    return {};
  }
}

function size(bytes, units) {
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

// Return the names of files that were interrupted here, by what the browser keeps of them.
function interrupted(user, endpoint) {
  const known = new Map();
  try {
    // tus-js-client's: "tus::" + the fingerprint above + "::" + a number.
    const start = `tus::${JSON.stringify([user, endpoint]).slice(0, -1)},`;
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(start)) continue;
      known.set(key, JSON.parse(key.slice(5, key.lastIndexOf("::")))[3]);
    }
  } catch {
    // Nothing is kept by this browser.
  }
  return known;
}

globalThis.Resumable = { item: makeItem, interrupted };
}
