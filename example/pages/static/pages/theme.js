"use strict";
// Before the page is drawn: the colours that were chosen here last. It is loaded
// without `defer`, so that nothing is seen in other colours first.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  }
} catch {
  // The browser keeps nothing for this site: the system's colours it is.
}
document.documentElement.classList.add("scripted");
