"use strict";
// The dialog of the pages of files: what htmx puts into it opens it.
// A classic script, which a store of static files may send from another host, and a
// block, so that its names are its own.
{
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
}
