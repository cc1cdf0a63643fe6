// Sending a job. XMLHttpRequest tells how much of a request has been sent; fetch does not.

// A part's own lines of a form, about; progress is told by the file, so this need not be exact.
const partHead = 180;

// newKey is text that nobody can guess. By it the page learns the job of a request that is still being sent.
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// upload sends the files as one job, which they are however often they are sent under the key. sent(n, share) is called as it goes on: n
// files are sent, and share of the next one.
export function upload(files, key, sent) {
  const request = new XMLHttpRequest();
  const form = new FormData();
  for (const file of files) form.append("image_file", file, file.name);
  let reached = 0;
  let before = 0; // bytes of the files up to reached
  request.upload.onprogress = ({ loaded }) => {
    while (reached < files.length && loaded >= before + files[reached].size + partHead) before += files[reached++].size + partHead;
    sent(reached, reached < files.length ? Math.max(0, (loaded - before) / (files[reached].size + partHead)) : 0);
  };
  const done = new Promise((accept, refuse) => {
    // Where the service itself has not answered, it may have accepted the job all the same.
    const lost = (why) => refuse(new Error(why, { cause: "lost" }));
    request.onload = () => {
      if (request.status === 202 || request.status === 200) accept(request.response);
      else if (request.response?.detail) refuse(new Error(request.response.detail));
      else lost(`the server answered with status ${request.status}`);
    };
    request.onerror = () => lost("the server could not be reached, or the connection broke");
    request.onabort = () => refuse(new Error("you cancelled this before it was sent"));
  });
  request.open("POST", "/v1/jobs");
  request.responseType = "json";
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("Idempotency-Key", key);
  request.send(form);
  return { done, cancel: () => request.abort() };
}
