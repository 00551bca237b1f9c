// Light or dark, as the reader's system prefers or as the reader chose, which is kept until the page is closed.
"use strict";

function pageTheme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function tellTheme() {
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    button.hidden = false;
    button.setAttribute("aria-pressed", String(pageTheme() === "dark"));
  }
  document.dispatchEvent(new Event("themechange"));
}

for (const button of document.querySelectorAll("[data-theme-switch]")) {
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = pageTheme() === "dark" ? "light" : "dark";
    tellTheme();
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tellTheme);
tellTheme();

// The list of contents takes a phone's whole screen; there it is opened by who wants it.
if (matchMedia("(max-width: 70rem)").matches) {
  for (const contents of document.querySelectorAll("nav details")) contents.open = false;
}
// What is printed is whole: tables that a screen keeps folded are unfolded, all but those of single cases.
// Paper is white: what scripts draw takes its colours from the theme, which is light for as long.
let beforePrint;
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details.table")) folded.open = true;
  beforePrint ??= { theme: document.documentElement.dataset.theme };
  document.documentElement.dataset.theme = "light";
  tellTheme();
});
addEventListener("afterprint", () => {
  if (beforePrint?.theme) document.documentElement.dataset.theme = beforePrint.theme;
  else if (beforePrint) delete document.documentElement.dataset.theme;
  beforePrint = undefined;
  tellTheme();
});
