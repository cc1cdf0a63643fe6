// A job on the page: sent from here, or found at its address.
import { Card } from "./card.js";
import { newKey, upload } from "./upload.js";
import { Tools } from "./tools.js";
import { Pace } from "./pace.js";
import { isArchive } from "./pick.js";

// Cards that are laid at once.
const slice = 60;

export class Job {
  constructor(section, { tell, accepted }) {
    this.section = section;
    this.tell = tell;
    this.accepted = accepted;
    this.list = section.querySelector("#cards");
    this.cards = [];
    this.address = location.pathname; // of what the page shows
    this.tools = new Tools(section.querySelector("#tools"), this.list);
    this.pace = new Pace(section);
    this.act("cancel").addEventListener("click", () => this.cancel());
    this.act("retry").addEventListener("click", () => this.retry());
  }

  act(name) { return this.section.querySelector(`[data-act=${name}]`); }

  get uploading() { return this.sending; }

  // attach takes over a job that the server has written into the page.
  attach() {
    const { job, state, created, total } = this.section.dataset;
    this.id = job;
    this.show([...this.list.children].map((element) => new Card(element)));
    if (this.cards.length < total) {
      // One part of a large job: the server counts, and this page is loaded anew while the job runs.
      this.act("cancel").hidden = state !== "running";
      this.act("retry").hidden = state === "running" || !this.cards.some((card) => card.hopeful);
      if (state === "running") setTimeout(() => this.sending || location.reload(), 10000);
      return;
    }
    this.pace.begin(this.cards, Number(created), "");
    if (state === "running") this.watch();
    else this.finish();
  }

  // send makes a new job of files. Those that were sent under a key before, and may have become a job by that, are sent under it again.
  async send(files, key = newKey()) {
    this.events?.close();
    this.id = undefined;
    this.section.hidden = false;
    this.sending = true;
    this.reached = 0;
    this.over = undefined;
    this.section.querySelector(".parts")?.remove();
    this.links(false);
    this.kept(null);
    scrollTo(0, 0);
    this.act("retry").hidden = true;
    this.show(await this.lay(files));
    this.pace.begin(this.cards, Date.now(), "sending");
    this.act("cancel").hidden = false;
    this.key = key;
    this.request = upload(files, key, (n, share) => this.sent(n, share));
    this.early(key);
    try {
      const job = await this.request.done;
      this.sending = false;
      this.began(job);
    } catch (error) {
      this.sending = false;
      this.events?.close();
      this.tell(error.cause === "lost"
        ? `It is not known whether the pictures arrived: ${error.message}. “Send failed ones again” takes none of them twice.`
        : `The pictures were not accepted: ${error.message}.`);
      for (const card of this.cards) card.fail({ code: "unsent", message: error.message });
      this.pace.changed();
      this.finish();
    }
  }

  // lay puts a card on the page for each file, and lets the browser draw in between.
  async lay(files) {
    const cards = [];
    this.list.replaceChildren();
    while (cards.length < files.length) {
      const from = cards.length;
      cards.push(...files.slice(from, from + slice).map((file, i) => new Card(null, from + i + 1, file)));
      this.list.append(...cards.slice(from).map((card) => card.element));
      if (cards.length < files.length) await new Promise((done) => setTimeout(done));
    }
    return cards;
  }

  show(cards) {
    for (const card of this.cards) card.drop();
    this.cards = cards;
    this.tools.use(cards);
  }

  // early follows the results of pictures that have come while others are still being sent, where that takes a while.
  async early(key) {
    const { request, cards } = this;
    if (cards.some((card) => isArchive(card.file))) return; // of an archive nobody knows yet what is in it
    for (;;) {
      await new Promise((done) => setTimeout(done, 1000));
      if (!this.sending || this.request !== request) return;
      const answer = await fetch(`/v1/uploads/${key}`).catch(() => null);
      if (!answer?.ok) continue;
      const { events } = await answer.json();
      if (this.sending && this.request === request) this.follow(events);
      return;
    }
  }

  sent(n, share) {
    for (const card of this.cards.slice(this.reached, n)) {
      if (card.ended || card.state === "running") continue;
      card.share(0);
      card.say("waiting", "sent");
    }
    this.reached = n;
    if (n < this.cards.length && !this.cards[n].ended) {
      this.cards[n].say("uploading", "uploading …");
      this.cards[n].share(share);
    }
    this.pace.sent(n);
  }

  began(job) {
    this.id = job.id;
    this.key = undefined;
    this.accepted(job, this.cards[0].name);
    if (job.images.length !== this.cards.length || this.cards.some((card) => isArchive(card.file))) {
      location.assign(job.links.page); // an archive was unpacked: the server knows what was in it
      return;
    }
    history.pushState(null, "", job.links.page);
    this.address = job.links.page;
    // Results that are there already come as events too, one by one, which keeps a large page smooth.
    job.images.forEach((image, i) => {
      this.cards[i].named(image.id);
      if (!this.cards[i].ended) this.cards[i].share(0);
      this.moved(this.cards[i], image.state);
    });
    this.pace.stage = "";
    this.pace.changed();
    this.links(true);
    this.kept(job);
    if (this.over) this.finish(this.over);
    else this.watch();
  }

  // kept says until when pictures and results are kept, where that is not for ever.
  kept(job) {
    const line = document.getElementById("kept");
    line.replaceChildren();
    if (!job) return;
    const day = (moment) => {
      const time = document.createElement("time");
      time.dateTime = new Date(moment).toISOString();
      time.textContent = new Date(moment).toLocaleDateString([], { dateStyle: "long" });
      return time;
    };
    const expires = job.expires ? Date.parse(job.expires) : Infinity;
    const pictures = Date.parse(job.created) + (Number(line.dataset.pictures) || Infinity);
    if (pictures < expires) line.append("Pictures are kept until ", day(pictures), ", results ", ...job.expires ? ["until ", day(expires)] : ["for ever"], ".");
    else if (job.expires) line.append("Kept until ", day(expires), ", pictures and results; then both are deleted.");
  }

  // moved shows that a picture waits or is in hand. What has ended is told by events.
  moved(card, state) {
    if (card.ended) return;
    if (state === "running") card.say("running", "recognising …");
    else if (state === "waiting") card.say("waiting", "queued");
  }

  // watch follows the events of the job until it is done. Those that are known already come again after a break and do no harm.
  watch() {
    this.act("cancel").hidden = false;
    if (this.events?.readyState !== EventSource.OPEN || this.events.job !== this.id) this.follow(`/v1/jobs/${this.id}/events`);
  }

  follow(address) {
    this.events?.close();
    this.events = new EventSource(address);
    this.events.job = address.split("/")[3];
    const find = (image) => this.cards[Number(image.split("-")[1]) - 1];
    this.events.addEventListener("started", ({ data }) => {
      const card = find(JSON.parse(data).image);
      if (card) this.moved(card, "running");
    });
    this.events.addEventListener("result", ({ data }) => {
      const result = JSON.parse(data);
      const card = find(result.image);
      if (!card || card.ended) return;
      card.end(result);
      this.pace.changed(card);
      this.tools.changed();
    });
    this.events.addEventListener("done", ({ data }) => {
      this.events.close();
      // The last result may come before the answer to the request has: then that finishes.
      if (this.sending) this.over = JSON.parse(data).state;
      else this.finish(JSON.parse(data).state);
    });
    this.events.addEventListener("error", () => {
      // The browser connects again by itself, unless the server has answered with an error.
      if (this.events.readyState === EventSource.CLOSED && !this.sending) this.tell("The server does not tell of this job any more: load the page again in a while.");
    });
  }

  finish(state = this.section.dataset.state) {
    this.act("cancel").hidden = true;
    this.act("retry").hidden = !this.cards.some((card) => card.hopeful);
    this.pace.end(state);
    this.tools.changed();
  }

  async cancel() {
    if (this.sending) {
      this.request.cancel();
      return;
    }
    const answer = await fetch(`/v1/jobs/${this.id}`, { method: "DELETE" }).catch(() => null);
    if (answer?.ok && !this.events) location.reload(); // a part of a large job
    if (answer?.ok) return; // the end of the job comes as an event
    this.act("cancel").hidden = answer?.status === 405 || answer?.status === 404;
    this.tell(answer?.status === 405 || answer?.status === 404
      ? "This server cannot cancel a job that it has accepted: it will be done soon."
      : "The job could not be cancelled: try again.");
  }

  // retry sends the failed pictures again, as a new job. After a reload their bytes are the server's, and fetching them is a part of sending.
  async retry() {
    if (this.sending) return;
    this.sending = true;
    this.act("retry").hidden = true;
    this.tell("");
    const failed = this.cards.filter((card) => card.hopeful);
    const files = await Promise.all(failed.map(async (card) => {
      if (card.file) return card.file;
      const bytes = await fetch(`/v1/images/${card.image}/content`).then((answer) => (answer.ok ? answer.blob() : null)).catch(() => null);
      return bytes && new File([bytes], card.name);
    }));
    const found = files.filter(Boolean);
    this.sending = false;
    if (found.length === 0) this.tell("The server has not kept these pictures: choose them again.");
    else this.send(found, this.key);
  }

  links(ready) {
    this.section.querySelector("[data-links]").hidden = !ready;
    if (!ready) return;
    const addresses = { csv: `/v1/jobs/${this.id}/results.csv`, json: `/v1/jobs/${this.id}`, zip: `/jobs/${this.id}/sorted.zip` };
    for (const [kind, href] of Object.entries(addresses)) Object.assign(this.section.querySelector(`[data-link=${kind}]`), { href, hidden: false });
  }
}
