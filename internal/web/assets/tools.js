// Finding, ordering and grouping the pictures of a job.

const orders = {
  place: (a, b) => a.place - b.place,
  sure: (a, b) => b.score - a.score || a.place - b.place,
  unsure: (a, b) => a.ended - b.ended || a.score - b.score || a.place - b.place,
  label: (a, b) => (a.label || "\uffff").localeCompare(b.label || "\uffff") || b.score - a.score || a.place - b.place,
};
const shows = {
  "": () => true,
  done: (card) => card.state === "done",
  failed: (card) => card.state === "failed",
  waiting: (card) => !card.ended,
};

export class Tools {
  constructor(form, list) {
    this.form = form;
    this.list = list;
    this.cards = [];
    form.addEventListener("input", ({ target }) => this.apply(target.name));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  use(cards) {
    this.cards = cards;
    this.plain = true;
    if (this.chosen.open) this.unfold();
    if (this.chosen.order !== "place") this.plain = false;
  }

  get chosen() {
    const { find, show, order, open } = this.form.elements;
    return { find: find.value.trim().toLowerCase(), show: show.value, order: order.value, open: open.checked };
  }

  // changed looks again when cards have ended, at most once a second, and not at all while nothing has been asked for.
  changed() {
    const { find, show, order } = this.chosen;
    if (this.timer || (!find && !show && order === "place")) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.apply();
    }, 1000);
  }

  unfold() {
    for (const card of this.cards) card.unfold(this.chosen.open);
  }

  apply(changed) {
    if (changed === "open") {
      this.unfold();
      return;
    }
    const { find, show, order } = this.chosen;
    let shown = 0;
    for (const card of this.cards) {
      const fits = shows[show](card) && (!find || card.matches(find));
      card.element.hidden = !fits;
      shown += fits;
    }
    this.form.elements.count.textContent = find || show ? `${shown} of ${this.cards.length}` : "";
    if (order !== "place" || !this.plain) this.arrange(order);
    this.plain = order === "place";
  }

  arrange(order) {
    const sorted = [...this.cards].sort(orders[order]);
    const elements = sorted.map((card) => card.element);
    this.list.replaceChildren(...(order === "label" ? this.grouped(sorted) : elements));
  }

  // grouped puts a heading in front of the cards of each label.
  grouped(sorted) {
    const groups = Map.groupBy(sorted.filter((card) => !card.element.hidden), (card) => card.label);
    return [...groups].flatMap(([label, cards]) => {
      const heading = document.createElement("li");
      const count = document.createElement("small");
      heading.className = "group";
      count.textContent = cards.length;
      heading.append(label || "without a label", " ", count);
      return [heading, ...cards.map((card) => card.element)];
    });
  }
}
