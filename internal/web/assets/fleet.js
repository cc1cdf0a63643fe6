// The live page of the fleet.

import { seconds } from "./words.js";

const kept = 120; // seconds of history
const history = { backlog: [], workers: [] };
const blank = document.getElementById("worker").content.firstElementChild;
const list = document.getElementById("workers");
const changes = document.getElementById("changes");
const problem = document.getElementById("problem");
let last;

function show(status) {
  const set = (name, text) => { document.querySelector(`[data-stat=${name}]`).textContent = text; };
  set("ready", status.ready.toLocaleString("en"));
  set("leased", status.leased.toLocaleString("en"));
  set("rate", status.rate_images_per_s.toFixed(1));
  set("eta", eta(status.ready + status.leased, status.rate_images_per_s));
  set("oldest", `${status.oldest_age_s.toFixed(1)} s`);
  set("workers", status.workers.length);
  set("wanted", status.wanted);
  set("max", status.max);
  document.getElementById("reason").textContent = status.reason;
  problem.textContent = status.problem ?? "";
  problem.hidden = !status.problem;
  showWorkers(status.workers);
  note(status);
  draw("backlog", status.ready + status.leased);
  draw("workers", status.workers.length);
}

function eta(backlog, rate) {
  if (backlog === 0) return "–";
  return rate > 0 ? seconds(backlog / rate) : "?";
}

function showWorkers(workers) {
  const known = new Map([...list.children].map((item) => [item.querySelector(".who").textContent, item]));
  list.replaceChildren(...workers.map(({ name, state }) => {
    const item = known.get(name) ?? blank.cloneNode(true);
    item.querySelector(".who").textContent = name;
    item.querySelector(".what").textContent = state;
    item.dataset.state = state;
    return item;
  }));
  document.getElementById("nobody").hidden = workers.length > 0;
}

// note adds a line when another number of workers is wanted.
function note({ wanted, reason }) {
  if (wanted === last) return;
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  const step = last === undefined ? `${wanted} wanted` : `${last} → ${wanted} wanted`;
  item.append(time, reason ? `${step}: ${reason}` : step);
  changes.prepend(item);
  while (changes.children.length > 50) changes.lastChild.remove();
  last = wanted;
}

function draw(name, value) {
  const values = history[name];
  values.push(value);
  if (values.length > kept) values.shift();
  const top = Math.max(1, ...values);
  const points = values.map((v, i) => `${kept - values.length + i + 1} ${(29 - 27 * v / top).toFixed(2)}`);
  const svg = document.querySelector(`[data-line=${name}]`);
  svg.querySelector(".stroke").setAttribute("d", `M${points.join("L")}`);
  svg.querySelector(".area").setAttribute("d", `M${kept - values.length + 1} 30L${points.join("L")}L${kept} 30Z`);
  document.querySelector(`[data-line-now=${name}]`).textContent = value.toLocaleString("en");
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/v1/status", { signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      show(await answer.json());
    } catch {
      problem.textContent = "The service does not answer just now. This page goes on asking.";
      problem.hidden = false;
    }
  }
  setTimeout(look, 1000);
}
look();
