"use strict";
// The form that takes many files at once, chosen or dropped anywhere on the page: those of
// a folder, or of an event. Each is sent as `resumable.js` does it.
// A classic script, which a store of static files may send from another host, and a
// block, so that its names are its own.
{
const say = (text, kind) =>
  document.dispatchEvent(new CustomEvent("say", { detail: { text, kind } }));

const AT_ONCE = 3;

const form = document.getElementById("upload");
if (form) setUp(form);

function setUp(form) {
  const words = form.dataset;
  const input = form.elements.namedItem("files");
  const box = document.getElementById("uploads");
  const list = box.querySelector("[data-items]");
  const summary = box.querySelector("[data-summary]");
  const items = [];

  // An event's files have their folder from the site.
  const folderNow = () => document.getElementById("list").dataset.folder ?? "";

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
    return Resumable.item(file, words, list, {
      endpoint: words.endpoint,
      folder,
      stored: refresh,
      changed: next,
      removed: (item) => {
        items.splice(items.indexOf(item), 1);
        box.hidden = items.length === 0;
        (list.querySelector("button:not([hidden])") ?? input).focus();
      },
    });
  }

  // -- what was interrupted before: it goes on once its file is chosen again

  const unfinished = document.getElementById("unfinished");
  const known = Resumable.interrupted(words.user, words.endpoint);
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
}
