// The page where pictures are chosen and a job is watched.
import { onPick } from "./pick.js";
import { Job } from "./job.js";
import { showRecent, remember } from "./recent.js";

const section = document.getElementById("job");
const notice = document.getElementById("notice");

const job = new Job(section, { tell, accepted: remember });

function tell(sentence) {
  notice.textContent = sentence;
  notice.hidden = !sentence;
}

onPick((files, leftOut) => {
  tell(leftOut ? `${leftOut} ${leftOut === 1 ? "file" : "files"} of the folder ${leftOut === 1 ? "is" : "are"} no picture and stayed behind.` : "");
  if (files.length === 0) return;
  if (job.uploading) {
    tell("Pictures are on their way already: wait until they are sent, or cancel them.");
    return;
  }
  document.getElementById("pick").classList.add("small");
  for (const id of ["recent", "ways"]) document.getElementById(id)?.setAttribute("hidden", "");
  job.send(files);
});

if (section.dataset.job) job.attach();
else showRecent();

// The start page and the job it became share a document: going back loads what the address says. A jump within the page is no such step.
addEventListener("popstate", () => { if (location.pathname !== job.address) location.reload(); });
