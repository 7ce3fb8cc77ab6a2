"use strict";
// Saves the form of a speaker or a session by a script: first what is written in it, so
// that what is wrong there is told at once, and then its file, as `resumable.js` does it,
// with a pause, and on from where it was cut. Without this script the form is sent as any
// form is, and does the same. What it says is in the form's data attributes, in the
// page's language.
// A classic script, which a store of static files may send from another host, and a
// block, so that its names are its own.
{
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-upload]")) return;
  event.preventDefault();
  save(event.target);
});

let sending = null; // the file's row

// What was interrupted goes on once the file is chosen again.
for (const form of document.querySelectorAll("form[data-upload][data-endpoint]")) {
  const { user, endpoint } = form.dataset;
  const names = [...new Set(Resumable.interrupted(user, endpoint).values())];
  const told = form.querySelector("[data-unfinished]");
  told.querySelector("[data-names]").textContent = names.join(", ");
  told.hidden = !names.length;
}

async function save(form) {
  const words = form.dataset;
  const field = form.querySelector("input[type=file]");
  const button = form.querySelector("button[type=submit]");
  const status = form.querySelector("[data-status]");
  const file = field.files[0];
  const fields = new FormData(form);
  if (file) {
    fields.delete(field.name);
    fields.set("coming", file.name);
  }
  sending?.remove();
  button.disabled = true;
  status.textContent = words.saving;
  let response, text;
  try {
    response = await fetch(form.action, {
      method: "POST",
      body: fields,
      headers: { "X-Requested-With": "XMLHttpRequest" },
    });
    text = await response.text();
  } catch {
    status.textContent = words.broken;
    button.disabled = false;
    return;
  }
  const place = response.headers.get("Location");
  if (response.status === 201 && place && file) {
    const saved = JSON.parse(text);
    // It is there now: whoever saves again, or loads the page anew, changes it.
    form.action = saved.edit;
    history.replaceState(null, "", saved.edit);
    status.textContent = words.saved;
    send(form, file, saved.file, place);
    return;
  }
  if (response.status === 201 && place) {
    status.textContent = words.all;
    window.location.assign(place);
    return;
  }
  button.disabled = false;
  if (response.redirected) {
    status.textContent = words.gone;
    return;
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  if (response.status === 422) {
    showErrors(form, page);
    return;
  }
  const said = [...page.querySelectorAll("main h1, main h1 + p")];
  status.textContent =
    said.map((part) => part.textContent.trim()).join(". ") ||
    words.refused.replace("{status}", response.status);
}

function send(form, file, endpoint, place) {
  const words = form.dataset;
  const button = form.querySelector("button[type=submit]");
  const status = form.querySelector("[data-status]");
  const box = form.querySelector("[data-box]");
  box.hidden = false;
  sending = Resumable.item(file, words, box.querySelector("[data-items]"), {
    endpoint,
    stored: () => {
      status.textContent = words.all;
      window.location.assign(place);
    },
    changed: (item) => {
      if (item.state === "waiting") item.start();
      const ended = ["failed", "stopped"].includes(item.state);
      if (ended) status.textContent = words.without;
      button.disabled = !ended;
    },
    removed: () => {
      box.hidden = true;
      button.focus();
    },
  });
  sending.start();
  // The button that had the focus can't be used now.
  box.querySelector("button").focus();
}

window.addEventListener("beforeunload", (event) => {
  if (sending?.state === "running") event.preventDefault();
});

// The response is the same form with its errors. The fields stay this page's own, as
// a chosen file cannot be put into new ones.
function showErrors(form, page) {
  form.querySelectorAll(".errorlist").forEach((list) => list.remove());
  form.querySelectorAll("[aria-invalid]").forEach((field) => {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  });
  page.querySelectorAll("form[data-upload] .errorlist").forEach((list) => {
    const theirs = list.parentElement.querySelector("input");
    const ours = theirs && form.elements.namedItem(theirs.name);
    const field = ours instanceof RadioNodeList ? ours[0] : ours;
    if (!field) return form.prepend(list);
    field.closest("form > div").querySelector("label, legend").after(list);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", list.id);
  });
  const first = form.querySelector("[aria-invalid]");
  form.querySelector("[data-status]").textContent = form.dataset.invalid;
  if (first) first.focus();
}
}
