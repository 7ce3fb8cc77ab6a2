"use strict";
// The pages of files: the dialog, and uploads of many files at once, each with its
// progress, that can be paused, stopped, and gone on with after the page was left.
// A classic script, which a store of static files may send from another host, and a
// block, so that its names are its own.
{
const say = (text, kind) =>
  document.dispatchEvent(new CustomEvent("say", { detail: { text, kind } }));

// ---- the dialog: what htmx puts into it opens it

const dialog = document.getElementById("dialog");
let opener = null;

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.target === dialog && !dialog.open) {
    const menu = event.detail.elt.closest("details.menu");
    opener = (menu?.querySelector("summary") ?? event.detail.elt).id;
    if (menu) menu.open = false;
  }
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dialog || dialog.open) return;
  dialog.showModal();
});
for (const name of ["close-dialog", "htmx:historyRestore"]) {
  document.addEventListener(name, () => dialog?.close());
}
dialog?.addEventListener("close", () => {
  dialog.replaceChildren();
  // The element that opened it may have been put there anew meanwhile.
  const place = document.getElementById(opener) ?? document.getElementById("main");
  requestAnimationFrame(() => place.focus({ preventScroll: true }));
});
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});

// ---- uploads

const AT_ONCE = 3;
const PIECE = 16 * 1024 * 1024; // bytes; what is sent twice at most, and the server's part
// Milliseconds between attempts; the count begins anew with each byte that arrives.
const DELAYS = [0, 1000, 2000, 4000, 8000, 15000, 30000, 30000, 30000, 60000, 60000];

// Whether that may be another status soon. No room (507) stays so.
const passes = (status) =>
  status === 408 || status === 429 || (status >= 500 && status !== 507);

const form = document.getElementById("upload");
if (form) setUp(form);

function setUp(form) {
  const words = form.dataset;
  const units = words.units.split("|");
  const input = form.elements.namedItem("files");
  const box = document.getElementById("uploads");
  const list = box.querySelector("[data-items]");
  const summary = box.querySelector("[data-summary]");
  const token = form.elements.namedItem("csrfmiddlewaretoken").value;
  const items = [];

  const folderNow = () => document.getElementById("list").dataset.folder;

  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take([...input.files]);
    input.value = "";
  });

  // -- dropped anywhere

  const curtain = document.getElementById("dropping");
  let depth = 0;
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    depth += 1;
    curtain.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!holdsFiles(event)) return;
    depth = Math.max(0, depth - 1);
    curtain.hidden = depth === 0;
  });
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    curtain.hidden = true;
    takeDropped(event.dataTransfer);
  });

  async function takeDropped(data) {
    // Both are there only while the event is handled, and a folder is among the files
    // as one that can't be read.
    const entries = [...data.items].map((one) => one.webkitGetAsEntry?.());
    const files = [...data.files];
    if (!entries.some((entry) => entry?.isDirectory)) return take(files);
    const found = [];
    const folder = folderNow();
    try {
      for (const entry of entries) if (entry) await collect(entry, folder, found);
    } catch (error) {
      say(words.unreadable, "error");
      return;
    }
    if (!found.length) say(words.empty, "error");
    for (const [file, place] of found) items.push(makeItem(file, place));
    take([]);
  }

  // Adds each file at or below an entry to those that are found, with its folder.
  async function collect(entry, folder, found) {
    if (entry.isFile) {
      found.push([await new Promise((done, fail) => entry.file(done, fail)), folder]);
      return;
    }
    const below = folder ? `${folder}/${entry.name}` : entry.name;
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return; // it tells some at a time
      for (const one of some) await collect(one, below, found);
    }
  }

  // -- the queue

  function take(files) {
    const folder = folderNow();
    for (const file of files) items.push(makeItem(file, folder));
    if (items.length) box.hidden = false;
    next();
  }

  function next() {
    const running = items.filter((item) => item.state === "running").length;
    items
      .filter((item) => item.state === "waiting")
      .slice(0, Math.max(0, AT_ONCE - running))
      .forEach((item) => item.start());
    if (items.every((item) => ["done", "failed", "stopped"].includes(item.state))) {
      tellAll();
    }
  }

  function tellAll() {
    const all = items.filter((item) => item.state !== "stopped").length;
    const count = items.filter((item) => item.state === "done").length;
    if (!all) return;
    let text = count === 1 ? words.one : words.many;
    if (count < all) text = words.some;
    summary.textContent = text.replace("{count}", count).replace("{all}", all);
  }

  // One refresh for many that end together, and none while somebody uses what goes with
  // it: a menu of the list, a dialog, or words that are typed to search.
  let refreshing = null;
  function refresh() {
    clearTimeout(refreshing);
    refreshing = setTimeout(() => {
      if (isInUse()) refresh();
      else htmx.trigger("#list", "refresh");
    }, 300);
  }

  function isInUse() {
    if (document.querySelector("dialog[open], #list details[open]")) return true;
    const field = document.getElementById("search");
    return field === document.activeElement && field.value !== field.defaultValue;
  }

  // -- one file

  function makeItem(file, folder) {
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

    const item = { state: "waiting", sent: 0, start };

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

    const upload = new tus.Upload(file, {
      endpoint: words.endpoint,
      chunkSize: PIECE,
      retryDelays: DELAYS,
      headers: { "X-CSRFToken": token },
      metadata: { filename: file.name, filetype: file.type, folder },
      removeFingerprintOnSuccess: true,
      // Another folder, or somebody else who signs in here, is another upload.
      fingerprint: async () =>
        JSON.stringify([words.user, folder, file.name, file.size, file.lastModified]),
      onAfterResponse: (request, response) => {
        // tus-js-client takes any error but 423 for the end of the upload, and begins
        // anew without asking. A web server before the site says 502 while that starts
        // again. What is thrown here is an attempt without a response: it comes back.
        if (request.getMethod() === "HEAD" && passes(response.getStatus())) {
          throw new Error(`HEAD: ${response.getStatus()}`);
        }
      },
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        if (status === 0 && item.state === "running") {
          show(words.offline, words.pause, words.stop);
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
        else stored();
        next();
      },
      onError: (error) => {
        fail(why(error));
        next();
      },
    });

    function stored() {
      item.state = "done";
      show(words.done, null, words.remove, "done");
      refresh();
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
        const told = await ask(`${words.endpoint}jobs/${job}/`);
        if (item.state !== "storing") return;
        if (told.state === "done") stored();
        else if (told.state === "cancelled") stopped();
        else if (told.state === "failed") fail(told.error || words.signedOut);
        else {
          const part = told.of ? ` ${Math.floor((100 * told.done) / told.of)} %` : "";
          show(words.finishing + part, null, words.stop);
          await new Promise((resolve) => setTimeout(resolve, 1000));
        }
      }
      next();
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
        next();
      } else {
        item.state = "waiting";
        show(words.waiting, words.pause, words.stop);
        next();
      }
    });

    stop.addEventListener("click", async () => {
      if (["done", "failed", "stopped"].includes(item.state)) {
        items.splice(items.indexOf(item), 1);
        row.remove();
        box.hidden = items.length === 0;
        (list.querySelector("button:not([hidden])") ?? input).focus();
        return;
      }
      stopped();
      // What has come of it is given up on the server, too; its sweep does it else.
      await upload.abort(true).catch(() => {});
      next();
    });

    show(words.waiting, words.pause, words.stop);
    return item;
  }

  function button(place, kind) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = `button small ${kind}`;
    place.append(made);
    return made;
  }

  function why(error) {
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

  // -- what was interrupted before: it goes on once its file is chosen again

  const unfinished = document.getElementById("unfinished");
  const known = new Map();
  try {
    // tus-js-client's: "tus::" + the fingerprint above + "::" + a number.
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(`tus::["${words.user}",`)) continue;
      known.set(key, JSON.parse(key.slice(5, key.lastIndexOf("::")))[2]);
    }
  } catch {
    // Nothing is kept by this browser.
  }
  if (known.size) {
    const names = [...new Set(known.values())];
    const shown = names.slice(0, 5).join(", ") + (names.length > 5 ? ", …" : "");
    unfinished.querySelector("[data-names]").textContent = shown;
    unfinished.hidden = false;
    unfinished.querySelector("[data-forget]").addEventListener("click", () => {
      for (const key of known.keys()) localStorage.removeItem(key);
      unfinished.hidden = true;
      input.focus();
    });
    input.addEventListener("change", () => (unfinished.hidden = true), { once: true });
  }

  window.addEventListener("beforeunload", (event) => {
    if (items.some((item) => ["running", "waiting"].includes(item.state))) {
      event.preventDefault();
    }
  });
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
}
