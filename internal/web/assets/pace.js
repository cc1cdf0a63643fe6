// How far a job is, how fast it goes and when it will be done.

import { arc, pictures, seconds } from "./words.js";

const span = 8000; // ms over which the rate is taken

export class Pace {
  constructor(section) {
    this.headline = section.querySelector("#job-title");
    this.line = section.querySelector(".pace");
    this.iris = section.querySelector(".progress .iris");
    this.spoken = document.getElementById("spoken");
    this.title = document.title;
  }

  // begin counts cards from the moment began. stage is "sending" until the job is accepted.
  begin(cards, began, stage) {
    Object.assign(this, { cards, began, stage, uploaded: 0, seen: [], here: cards.some((card) => !card.ended), nextWord: 0 });
    this.count();
    clearInterval(this.clock);
    if (!this.here) return;
    this.draw();
    this.clock = setInterval(() => this.later(), 1000); // while nothing comes the rate falls
  }

  count() {
    this.done = this.cards.filter((card) => card.state === "done").length;
    this.failed = this.cards.filter((card) => card.state === "failed").length;
  }

  sent(n) {
    this.uploaded = n;
    this.later();
  }

  // changed takes in one card that has ended, or, without it, counts all anew.
  changed(card) {
    if (!card) this.count();
    else if (card.state === "done") this.done++;
    else this.failed++;
    if (card) this.seen.push(performance.now());
    this.later();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  draw() {
    const total = this.cards.length;
    const ended = this.done + this.failed;
    if (this.stage === "sending") {
      this.headline.textContent = `Sending ${pictures(total)}`;
      const sent = this.uploaded < total ? `${this.uploaded} of ${total} sent` : "all sent, waiting for the server to accept them";
      this.line.textContent = ended > 0 ? `${sent} · ${this.done} recognised already` : sent;
      this.share(ended / total);
      document.title = `Sending – ${this.title}`;
      return;
    }
    this.share(ended / total);
    this.headline.textContent = `${this.done} of ${pictures(total)} recognised`;
    document.title = `${ended} of ${total} – Ocelli`;
    const parts = [];
    if (this.failed > 0) parts.push(`${this.failed} not`);
    const rate = this.rate();
    if (rate > 0) parts.push(`${rate.toFixed(rate < 10 ? 1 : 0)} a second`, `about ${seconds((total - ended) / rate)} left`);
    this.line.textContent = parts.length > 0 ? parts.join(" · ") : "waiting for a worker …";
    this.speak(this.headline.textContent, 5000);
  }

  rate() {
    const now = performance.now();
    while (this.seen.length > 0 && this.seen[0] < now - span) this.seen.shift();
    const first = this.seen[0];
    return this.seen.length < 2 ? 0 : this.seen.length / Math.max(0.2, (now - first) / 1000);
  }

  share(part) { this.iris.setAttribute("stroke-dasharray", arc(part)); }

  end(state) {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    clearInterval(this.clock);
    this.stage = "";
    if (!this.here) return;
    const total = this.cards.length;
    this.share((this.done + this.failed) / total);
    if (state === "cancelled") this.headline.textContent = `Cancelled after ${this.done} of ${pictures(total)}`;
    else if (this.failed === total) this.headline.textContent = total === 1 ? "The picture was not recognised" : `None of ${pictures(total)} recognised`;
    else if (this.failed > 0) this.headline.textContent = `${this.done} of ${pictures(total)} recognised, ${this.failed} not`;
    else this.headline.textContent = `${pictures(total)} recognised`;
    const took = (Date.now() - this.began) / 1000;
    this.line.textContent = this.done > 0 ? `in ${seconds(took)}. Keep the address of this page to come back.` : "";
    document.title = `${this.headline.textContent} – Ocelli`;
    this.speak(this.headline.textContent, 0);
  }

  // speak tells those who listen, at most every so many milliseconds.
  speak(sentence, pause) {
    if (performance.now() < this.nextWord && pause > 0) return;
    this.nextWord = performance.now() + pause;
    this.spoken.textContent = sentence;
  }
}
