"use strict";
// Sends the upload form by XMLHttpRequest, for its progress events. Without this
// script the form is sent as any form is, and does the same. What it says is in the
// form's data attributes, in the page's language.

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-upload]")) return;
  event.preventDefault();
  send(event.target);
});

function send(form) {
  const words = form.dataset;
  const button = form.querySelector("button[type=submit]");
  const cancel = form.querySelector("[data-cancel]");
  const box = form.querySelector("[data-progress]");
  const bar = box.querySelector("progress");
  const status = form.querySelector("[data-status]");
  const request = new XMLHttpRequest();
  let tenth = -1;

  const leave = (warning) => warning.preventDefault();

  const busy = (yes) => {
    button.disabled = yes;
    cancel.hidden = box.hidden = !yes;
    const listen = yes ? window.addEventListener : window.removeEventListener;
    listen.call(window, "beforeunload", leave);
  };

  const stop = (text) => {
    busy(false);
    status.textContent = text;
  };
  const amount = (bytes) => size(bytes, words.units.split("|"));

  request.upload.onprogress = (sent) => {
    if (!sent.lengthComputable) return;
    const percent = Math.floor((100 * sent.loaded) / sent.total);
    bar.value = percent;
    // Said by tenths: a screen reader would read out every change.
    if (tenth !== (tenth = Math.floor(percent / 10))) {
      status.textContent = words.sent
        .replace("{sent}", amount(sent.loaded))
        .replace("{all}", amount(sent.total));
    }
  };

  request.upload.onload = () => {
    bar.removeAttribute("value");
    cancel.hidden = true; // From here on the site may store it all the same.
    status.textContent = words.storing;
  };

  request.onload = () => {
    stop("");
    const place = request.getResponseHeader("Location");
    if (request.status === 201 && place) {
      status.textContent = words.stored;
      window.location.assign(place);
      return;
    }
    if (request.responseURL && request.responseURL !== form.action.split("#")[0]) {
      status.textContent = words.signedOut;
      return;
    }
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    if (request.status === 422) {
      showErrors(form, page);
    } else {
      const said = [...page.querySelectorAll("main h1, main h1 + p")];
      stop(
        said.map((part) => part.textContent.trim()).join(". ") ||
          words.failed.replace("{status}", request.status),
      );
    }
  };

  request.onerror = () => stop(words.broken);
  request.onabort = () => stop(words.cancelled);
  cancel.onclick = () => request.abort();

  busy(true);
  bar.value = 0;
  request.open("POST", form.action);
  request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
  request.send(new FormData(form));
}

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

function size(bytes, units) {
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}
