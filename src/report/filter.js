"use strict";
const field = (id) => document.getElementById(id);
const [bar, search, model, label, found] = ["filters", "search", "model", "label", "found"].map(field);
const cards = [...document.querySelectorAll(".card")];
const has = (list, choice) => !choice || list.split("\n").includes(choice);
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards) {
    const { text, models, labels } = card.dataset;
    card.hidden = !(words.every((word) => text.includes(word)) && has(models, model.value) && has(labels, label.value));
    shown += card.hidden ? 0 : 1;
  }
  found.textContent = shown === cards.length ? "" : `${shown} of ${cards.length}`;
}
if (bar) {
  bar.hidden = false;
  bar.addEventListener("input", filter);
  filter();
}
