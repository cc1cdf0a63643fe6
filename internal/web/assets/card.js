// One picture on the page. The server writes the same markup; see templates/parts.html.
import { copyOf } from "./copies.js";
import { remedy } from "./remedy.js";
import { arc, percent } from "./words.js";

const blank = document.getElementById("card").content.firstElementChild;
const blankBar = document.getElementById("bar").content.firstElementChild;

// Pictures that were just chosen are shown from the visitor's own files, and only while they are near the window: a thousand
// photographs would not fit into memory.
const near = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) target.card.thumbnail(isIntersecting);
}, { rootMargin: "800px" });

export class Card {
  // A card stands for an element that is on the page, or for a file that was chosen.
  constructor(element, place, file) {
    this.element = element ?? blank.cloneNode(true);
    this.element.card = this;
    this.part = (selector) => this.element.querySelector(selector);
    this.open = false;
    if (element) {
      this.read();
      return;
    }
    this.file = file;
    this.place = place;
    this.name = file.name;
    this.label = "";
    this.kin = "";
    this.score = 0;
    this.element.dataset.place = place;
    for (const each of this.element.querySelectorAll(".name")) each.textContent = each.title = file.name;
    this.part("img").alt = file.name;
    this.say("waiting", "waiting");
    near.observe(this.element);
  }

  // read takes over what the server wrote.
  read() {
    const { image, place, state, score, code } = this.element.dataset;
    this.image = image;
    this.place = Number(place);
    this.state = state;
    this.code = code;
    this.score = Number(score);
    this.name = this.part(".name").textContent;
    this.label = state === "done" ? this.part(".label").textContent : "";
    this.kin = this.part(".kin").textContent;
    const picture = this.part("img");
    if (picture?.complete && picture.naturalWidth === 0) picture.classList.add("broken");
  }

  // hopeful tells that the picture failed, and sending it again may help.
  get hopeful() { return this.state === "failed" && remedy(this.code).again; }

  get ended() { return this.state === "done" || this.state === "failed"; }

  say(state, words) {
    this.state = this.element.dataset.state = state;
    this.part(".label").textContent = words;
  }

  named(image) {
    this.image = this.element.dataset.image = image;
    const link = this.part(".frame a");
    link.href = `/v1/images/${image}/content`;
    link.setAttribute("aria-label", `${this.name}, the whole picture`);
  }

  share(part) { this.part(".iris").setAttribute("stroke-dasharray", arc(part)); }

  // end shows a result: labels, or why there are none.
  end(result) {
    if (result.error) {
      this.fail(result.error);
      return;
    }
    const [best] = result.labels;
    this.label = best.name;
    this.score = best.score;
    this.kin = (best.parents ?? []).join(" · ");
    this.say("done", best.name);
    this.part(".label").title = best.name;
    this.part(".score").textContent = percent(best.score);
    this.part(".kin").textContent = this.part(".kin").title = this.kin;
    this.share(best.score);
    this.part(".bars").replaceChildren(...result.labels.slice(0, 5).map(bar));
    this.part(".more").hidden = false;
    this.part(".more").open = this.open;
    this.part(".name.alone").hidden = true;
  }

  // fail shows what was wrong. code says whether sending the picture again may help.
  fail({ code, message }) {
    this.code = code;
    this.score = 0;
    this.say("failed", "not recognised");
    this.share(0);
    for (const part of [".score", ".kin", ".bars"]) this.part(part).replaceChildren(); // it may have been recognised before the job was cancelled
    this.part(".more").hidden = true;
    this.part(".name.alone").hidden = false;
    const problem = this.part(".problem");
    const known = remedy(code);
    const todo = document.createElement("b");
    todo.textContent = known.todo;
    problem.replaceChildren(message.endsWith(".") ? message : `${message}.`, " ", todo);
    problem.hidden = false;
    if (!known.kept) {
      this.part(".frame a").removeAttribute("href");
      this.part(".frame a").removeAttribute("aria-label");
    }
  }

  unfold(open) {
    this.open = open;
    this.part(".more").open = open && this.state === "done";
  }

  // thumbnail shows the visitor's own file, or lets go of it. A small copy is kept: it is made once.
  async thumbnail(show) {
    this.near = show;
    if (show && !this.copy) {
      this.copying ??= copyOf(this.file, () => !this.near);
      this.copy = await this.copying;
      this.copying = undefined;
      if (this.near && !this.copy) { // it went and came back in between
        this.thumbnail(true);
        return;
      }
    }
    if (this.near === Boolean(this.address)) return;
    const picture = this.part("img");
    if (this.near && this.copy) {
      picture.src = this.address = URL.createObjectURL(this.copy);
    } else if (this.address) {
      URL.revokeObjectURL(this.address);
      this.address = undefined;
      picture.removeAttribute("src");
    }
  }

  // drop lets go of what the card holds outside the document.
  drop() {
    near.unobserve(this.element);
    this.thumbnail(false);
  }

  matches(words) { return `${this.label} ${this.kin} ${this.name}`.toLowerCase().includes(words); }
}

function bar({ name, score }) {
  const item = blankBar.cloneNode(true);
  item.querySelector("span").textContent = name;
  item.querySelector("b").textContent = percent(score);
  item.querySelector("rect").setAttribute("width", score);
  return item;
}

// A picture that the browser cannot show, a HEIC for one, leaves its frame empty. Such events do not bubble.
document.addEventListener("error", ({ target }) => {
  if (target.matches?.(".frame img[src]")) target.classList.add("broken");
}, true);
document.addEventListener("load", ({ target }) => {
  if (target.matches?.(".frame img")) target.classList.remove("broken");
}, true);
