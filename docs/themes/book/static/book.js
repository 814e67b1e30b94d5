// The few things on a page that move: the theme, folding the contents on a
// narrow screen, and copying a listing. All of it works from file://.
"use strict";

const root = document.documentElement;
const remembered = (() => {
  try { return localStorage.getItem("theme"); } catch { return null; }
})();
const asked = new URLSearchParams(location.search).get("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
if (asked || remembered) root.dataset.theme = asked || remembered;

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
}

function setUpTheme() {
  const button = document.querySelector("button.theme");
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.title = "Change between light and dark";
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch {}
    name();
  });
  dark.addEventListener("change", name);
  name();
}

function setUpContents() {
  const narrow = matchMedia("(max-width: 60rem)");
  const details = document.querySelector(".contents details");
  const fold = () => { details.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function setUpCopying() {
  for (const block of document.querySelectorAll("div.highlight")) {
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await copy(block.querySelector("pre").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    block.append(button);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  setUpTheme();
  setUpContents();
  setUpCopying();
});
