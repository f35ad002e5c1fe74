"use strict";
const slides = [...document.querySelectorAll("section")];
const count = document.querySelector(".count");
const presenting = () => document.body.classList.contains("present");
let place = 0;
function show(next) {
  place = Math.max(0, Math.min(slides.length - 1, next));
  slides.forEach((slide, i) => slide.classList.toggle("current", i === place));
  count.textContent = `${place + 1} / ${slides.length}`;
  if (presenting()) {
    history.replaceState(null, "", `#present-${place + 1}`);
    slides[place].focus({ preventScroll: true });
  }
}
function present(on) {
  document.body.classList.toggle("present", on);
  if (on) { show(place); } else {
    history.replaceState(null, "", `#figure-${place + 1}`);
    slides[place].scrollIntoView();
  }
}
const steps = {
  ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, Enter: 1,
  ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Backspace: -1,
  Home: -Infinity, End: Infinity,
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!presenting()) {
    if (event.key === "p" || event.key === "P") present(true);
    return;
  }
  if (event.key === "Escape") present(false);
  else if (event.key in steps) {
    const back = event.key === " " && event.shiftKey;
    show(back ? place - 1 : place + steps[event.key]);
  } else return;
  event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (!presenting() || event.target.closest("a, button, summary")) return;
  show(place + (event.clientX < innerWidth / 3 ? -1 : 1));
});
document.getElementById("present").addEventListener("click", () => present(true));
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
const asked = /^#present-(\d+)$/.exec(location.hash);
show(asked ? Number(asked[1]) - 1 : 0);
if (asked) present(true);
