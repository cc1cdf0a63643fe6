// The jobs of this browser. The server lists no jobs to those who have not signed in: whoever knows an address may see it, and nobody
// else. Of several who sign in with one browser each sees what was sent under the own name.

const visitor = document.body.dataset.visitor;
const key = visitor ? `ocelli.jobs.${visitor}` : "ocelli.jobs";
const most = 12;

function stored() {
  try {
    const jobs = JSON.parse(localStorage.getItem(key));
    return Array.isArray(jobs) ? jobs.filter(({ id }) => /^[0-9A-Z]{26}$/.test(id)) : [];
  } catch {
    return []; // storage is forbidden, or somebody else wrote there
  }
}

function store(jobs) {
  try {
    localStorage.setItem(key, JSON.stringify(jobs));
  } catch {
    // Without storage there are no recent jobs, and nothing else is lost.
  }
}

export function remember(job, name) {
  store([{ id: job.id, total: job.total, name, when: Date.now() }, ...stored().filter(({ id }) => id !== job.id)].slice(0, most));
}

export function showRecent() {
  const section = document.getElementById("recent");
  const jobs = stored();
  section.hidden = jobs.length === 0;
  section.querySelector("ul").replaceChildren(...jobs.map(({ id, total, name, when }) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const small = document.createElement("small");
    link.href = `/jobs/${id}`;
    small.textContent = new Date(when).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    link.append(total === 1 ? String(name) : `${name} and ${total - 1} more`, small);
    item.append(link);
    return item;
  }));
  section.querySelector("[data-act=forget]").onclick = () => {
    store([]);
    section.hidden = true;
  };
}
