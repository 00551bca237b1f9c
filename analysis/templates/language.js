// Which of the page's languages is shown. A reader's choice is kept where the browser allows it; without one a page that
// was made in Chinese opens in Chinese, another in the language of the browser.
"use strict";
const LANGUAGE_TAGS = { en: "en", zh: "zh-Hans" };
const LANGUAGE_NAMES = { en: "English", zh: "中文" };

function pageLanguage() {
  return document.documentElement.dataset.lang === "zh" ? "zh" : "en";
}

// Text as scripts are given it: {en, zh}, or a string that reads the same in both; {named} fields filled in.
function inLanguage(text, fields = {}) {
  const shown = typeof text === "string" ? text : text[pageLanguage()];
  return shown.replace(/\{(\w+)\}/g, (whole, name) => (name in fields ? fields[name] : whole));
}

// What the page says in its own language stands there; what it says in the other, each sentence once, in a list.
const ownLanguage = pageLanguage();
const saidElsewhere = JSON.parse(document.getElementById("said")?.textContent ?? "[]");

function showSentences(language) {
  for (const element of document.querySelectorAll("span[data-said]")) {
    element.own ??= element.textContent;
    element.textContent = language === ownLanguage ? element.own : saidElsewhere[element.dataset.said];
  }
}

function showLanguage(language) {
  const page = document.documentElement;
  if (language !== pageLanguage()) showSentences(language);
  page.dataset.lang = language;
  page.lang = LANGUAGE_TAGS[language];
  for (const element of document.querySelectorAll("[data-zh]")) {
    const chinese = JSON.parse(element.dataset.zh);
    element.english ??= Object.fromEntries(Object.keys(chinese).map((name) => [name, languageAttribute(element, name)]));
    for (const [name, text] of Object.entries(language === "zh" ? chinese : element.english)) {
      if (name === "text") element.textContent = text;
      else element.setAttribute(name, text);
    }
  }
  const other = language === "zh" ? "en" : "zh";
  for (const button of document.querySelectorAll("[data-language-switch]")) {
    button.hidden = false;
    button.textContent = LANGUAGE_NAMES[other];
    button.lang = LANGUAGE_TAGS[other];
    button.classList.add("language-switch");
  }
  document.dispatchEvent(new Event("languagechange"));
}

function languageAttribute(element, name) {
  return name === "text" ? element.textContent : element.getAttribute(name);
}

function chosenLanguage() {
  try {
    const kept = localStorage.getItem("language");
    if (kept in LANGUAGE_TAGS) return kept;
  } catch { /* a page opened from disk may be refused any storage */ }
  if (document.documentElement.dataset.lang) return pageLanguage();
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

for (const button of document.querySelectorAll("[data-language-switch]")) {
  button.addEventListener("click", () => {
    const language = pageLanguage() === "zh" ? "en" : "zh";
    try { localStorage.setItem("language", language); } catch { /* shown all the same */ }
    showLanguage(language);
  });
}
showLanguage(chosenLanguage());
