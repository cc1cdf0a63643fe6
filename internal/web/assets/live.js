// A page that shows how things are now: asked for again each second, of which what has changed is taken over.
const live = document.getElementById("live");
const lost = document.getElementById("lost");

// morph makes one element like another and leaves alone what is the same, so that nothing flickers and focus stays. Children with a
// data-key are the same wherever they stand.
function morph(from, to) {
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  const keyed = new Map([...from.children].filter((each) => each.dataset?.key).map((each) => [each.dataset.key, each]));
  let next = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const known = keyed.get(wanted.dataset?.key) ?? next;
    if (!known || known.nodeName !== wanted.nodeName || known.dataset?.key !== wanted.dataset?.key) {
      from.insertBefore(document.adoptNode(wanted), next);
      continue;
    }
    if (known === next) next = next.nextSibling;
    else from.insertBefore(known, next);
    if (known.nodeType === Node.ELEMENT_NODE) morph(known, wanted);
    else if (known.data !== wanted.data) known.data = wanted.data;
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

// Moments are written in the time of the server; whoever looks may live elsewhere.
function local() {
  for (const time of live.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleString([], { month: "short", day: "numeric", hour: "numeric", minute: "2-digit", second: "2-digit" });
  }
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.pathname, { signal: AbortSignal.timeout(5000) });
      if (answer.status === 401) return location.reload(); // the session has ended: the page asks for a key
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      morph(live, page.getElementById("live"));
      local();
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(look, 1000);
}
local();
setTimeout(look, 1000);
