"use strict";
// Small pictures in lists, and on the pages of events: one that is not made yet is asked
// for again, less and less often.
// A classic script, which a store of static files may send from another host, and a
// block, so that its names are its own.
{
const WAITS = [1, 2, 4, 8, 15, 30, 60]; // seconds
const WAITING = 23; // pixels: the width of the drawing that stands in meanwhile

function lookAgain(image) {
  if (!image.matches?.("img[data-thumbnail]") || image.naturalWidth !== WAITING) return;
  const tries = Number(image.dataset.tries ?? 0);
  if (tries >= WAITS.length) return;
  image.dataset.tries = tries + 1;
  const address = image.getAttribute("src").replace(/&tries=\d+$/, "");
  setTimeout(() => {
    if (image.isConnected) image.src = `${address}&tries=${tries + 1}`;
  }, WAITS[tries] * 1000);
}
document.querySelectorAll("img[data-thumbnail]").forEach(lookAgain);
document.addEventListener("load", (event) => lookAgain(event.target), true);
}
