// Small copies of photos that the visitor has just chosen, made beside the page by workers of the browser.

const large = 300_000; // bytes from which on a copy is worth its making
const most = Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1));
const idle = [];
const waiting = []; // numbers of orders, the next one last
const orders = new Map();
let workers = 0;
let last = 0;

// copyOf promises a small copy of the file, or the file itself where it is small or cannot be copied. What was asked for last comes
// first: that is where the visitor looks. unneeded says whether nobody waits for it any more; then null is what is promised.
export function copyOf(file, unneeded) {
  if (file.size < large || !globalThis.OffscreenCanvas) return Promise.resolve(file);
  return new Promise((done) => {
    orders.set(++last, { file, done, unneeded });
    waiting.push(last);
    next();
  });
}

function next() {
  while (waiting.length > 0) {
    const worker = idle.pop() ?? (workers < most ? hire() : undefined);
    if (!worker) return;
    const number = waiting.pop();
    const { file, done, unneeded } = orders.get(number);
    if (unneeded()) {
      orders.delete(number);
      idle.push(worker);
      done(null);
      continue;
    }
    worker.postMessage({ number, file });
  }
}

function hire() {
  workers++;
  const worker = new Worker(new URL("./small.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data: { number, copy } }) => {
    const { file, done } = orders.get(number);
    orders.delete(number);
    idle.push(worker);
    done(copy ?? file);
    next();
  };
  return worker;
}
