"use strict";
// What every page does: the choice of colours, menus, dialogs, and what happens around
// htmx's requests: errors in words, focus that is not lost, a session that has ended.
// A classic script, which a store of static files may send from another host, and a
// block, so that its names are its own.
{
const root = document.documentElement;

function keepTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  try {
    if (theme) localStorage.setItem("theme", theme);
    else localStorage.removeItem("theme");
  } catch {
    // It is good for this page, then.
  }
}

for (const choice of document.querySelectorAll("select[data-theme-choice]")) {
  choice.value = root.dataset.theme ?? "";
  choice.addEventListener("change", () => keepTheme(choice.value));
}

// Other scripts say something by the event "say": it is shown, and read out when there
// is time. They import nothing, so that each file can have a hash in its name.
document.addEventListener("say", ({ detail }) => say(detail.text, detail.kind));

function say(text, kind = "info", passes = false) {
  const place = document.getElementById("messages");
  // What is behind an open dialog is not seen, and not read out.
  const dialog = document.querySelector("dialog[open]");
  const before = dialog?.querySelector(":scope > [data-said]");
  // What asks each second and fails says so once.
  const said = dialog ? before : place;
  if (!place || said?.textContent.trim() === text) return;
  const item = document.createElement("p");
  item.className = `message ${kind}`;
  item.textContent = text;
  if (passes) item.dataset.passes = "";
  if (!dialog) return place.replaceChildren(item);
  item.dataset.said = "";
  item.setAttribute("role", "alert");
  before?.remove();
  dialog.prepend(item);
}

// Menus: closed by Escape, by a click elsewhere, and when the focus leaves them.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
for (const name of ["click", "focusin"]) {
  document.addEventListener(name, (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
}

// A message can be put away.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-dismiss]");
  if (!button) return;
  button.closest(".message").remove();
  document.getElementById("main").focus({ preventScroll: true });
});

// Whoever goes elsewhere leaves what was said behind, as with a page that is loaded. What
// loads by itself does not, so that there is time to undo something.
document.addEventListener("htmx:pushedIntoHistory", () => {
  document.getElementById("messages")?.replaceChildren();
});

// A field is copied; the button says so.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    say(button.dataset.copied);
  } catch {
    say(button.dataset.copyFailed, "warning");
  }
});

// Whoever signs in anew, in another window, has another token against forgery there; the
// pages that are open send that of the cookie.
const token = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
globalThis.csrfToken = () => token() ?? ""; // for the script of uploads
function renew(event) {
  const field = event.target.elements.namedItem("csrfmiddlewaretoken");
  if (field) field.value = token() ?? field.value;
}
document.addEventListener("submit", renew, true); // before any script reads the form
document.addEventListener("htmx:configRequest", (event) => {
  if (token()) event.detail.headers["X-CSRFToken"] = token();
});

// A second click on a slow network would have it done twice. Whoever stopped it may send
// it again after a time, and at once on a page that is shown again.
const SENDING = 30_000; // milliseconds
const underWay = new Set();
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches("[method=post]:not([data-upload])")) return;
  if (underWay.has(form)) event.preventDefault();
  else {
    underWay.add(form);
    setTimeout(() => underWay.delete(form), SENDING);
  }
});
window.addEventListener("pageshow", () => underWay.clear());

// ---- htmx

let hadFocus = false;

document.addEventListener("htmx:beforeSwap", (event) => {
  hadFocus = document.activeElement !== document.body;
  if (!hasEnded(event.detail.xhr)) return;
  event.detail.shouldSwap = false;
  window.location.reload();
});
// "Back" to a list asks for it anew.
document.addEventListener("htmx:historyCacheMissLoad", (event) => {
  if (hasEnded(event.detail.xhr)) window.location.reload();
});

// Whether the session has ended: what came is the page to sign in, for the whole window.
function hasEnded(xhr) {
  const page = document.querySelector("meta[name=sign-in]")?.content;
  return page && xhr.responseURL && new URL(xhr.responseURL).pathname === page;
}

document.addEventListener("htmx:afterSettle", (event) => {
  const { target } = event.detail;
  const came = document.getElementById(target?.id) ?? target;
  tell(came);
  // What had the focus is still there, or an element with its id: htmx sees to that.
  // Who had put it nowhere, and reads, is left where they are.
  if (!hadFocus || document.activeElement !== document.body) return;
  // Else the next Tab goes on from what is wrong, or from the heading of what came.
  const wanted = came?.querySelector?.('[aria-invalid="true"], .alert, [data-focus]');
  const open = document.querySelector("dialog[open]");
  const place = wanted ?? open ?? document.getElementById("main");
  if (place.tabIndex < 0) place.tabIndex = -1;
  place.focus({ preventScroll: true });
});

// A part that has just come is no live region yet: what it tells is put into one that
// stays, where it is another text.
function tell(came) {
  const place = document.getElementById("told");
  const part = came?.querySelector?.("[data-tell]");
  const text = part?.textContent.replace(/\s+/g, " ").trim();
  if (text && text !== place.textContent) place.textContent = text;
}

document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  const words = document.getElementById("words").dataset;
  const known = { 403: words.forbidden, 404: words.gone, 503: words.away };
  say(known[status] ?? words.failed, "error", status === 503);
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => {
    say(document.getElementById("words").dataset.offline, "error", true);
  });
}
document.addEventListener("htmx:afterRequest", (event) => {
  // The site is back, and what was said of it is not so any more.
  if (event.detail.successful) document.querySelector("[data-passes]")?.remove();
});
}
