// The cheat sheet.

import { make } from "./dom.js";
import { LESSONS } from "./keys.js";

export class Lessons {
  constructor() {
    const rows = LESSONS.filter((lesson) => lesson.shown).flatMap(({ shown, words }) => [
      make("dt", {}, make("kbd", {}, shown)),
      make("dd", {}, words),
    ]);
    const mouse = "Wheel: slices; with Ctrl: zoom. Right button: window. Middle button: move.";
    const close = make("button", { type: "button", textContent: "Close" });
    this.element = make("dialog", { className: "lessons", "aria-label": "Keys" },
      make("h2", {}, "Keys"), make("dl", {}, ...rows), make("p", {}, mouse), close);
    close.onclick = () => this.close();
  }

  toggle() {
    if (this.element.open) this.close();
    else this.element.showModal();
  }

  close() {
    this.element.close();
  }
}
