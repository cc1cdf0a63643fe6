// Every way in which pictures come to the page.

const picture = /\.(jpe?g|jfif|png|gif|webp|bmp|tiff?|heic|heif|avif)$/i;
const archive = /\.(zip|tar|tgz|tar\.gz)$/i;
const isPicture = (file) => file.type.startsWith("image/") || picture.test(file.name);
export const isArchive = (file) => archive.test(file.name);

// onPick calls take(files, leftOut) whenever somebody chooses, drops or pastes files. Of a folder only pictures are taken, and
// leftOut counts the rest; a file that was chosen by itself is sent whatever it is, and the server says what is wrong with it.
export function onPick(take) {
  const field = document.getElementById("image_file");
  const inputs = { files: field, folder: input({ webkitdirectory: true }), camera: input({ accept: "image/*", capture: "environment" }) };
  for (const [kind, each] of Object.entries(inputs)) {
    each.addEventListener("change", () => {
      const files = [...each.files];
      each.value = "";
      kind === "folder" ? takeFolder(files, take) : take(files, 0);
    });
  }
  for (const button of document.querySelectorAll("[data-pick]")) {
    button.addEventListener("click", () => inputs[button.dataset.pick].click());
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length > 0) take(files, 0);
  });
  onDrop(take);
}

function input(properties) {
  const element = Object.assign(document.createElement("input"), { type: "file", multiple: true, hidden: true, ...properties });
  if (properties.capture) element.setAttribute("capture", properties.capture);
  element.setAttribute("aria-hidden", "true");
  document.body.append(element);
  return element;
}

function takeFolder(files, take) {
  const pictures = files.filter(isPicture);
  pictures.sort((a, b) => a.webkitRelativePath.localeCompare(b.webkitRelativePath, undefined, { numeric: true }));
  take(pictures, files.length - pictures.length);
}

function onDrop(take) {
  let depth = 0; // dragenter comes for every element on the way
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    document.documentElement.classList.toggle("dragging", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => { if (carriesFiles(event)) mark(1); });
  addEventListener("dragleave", (event) => { if (carriesFiles(event)) mark(-1); });
  addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    // Entries must be asked for before the first await: the browser empties the list after it.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const loose = [...event.dataTransfer.files];
    if (!entries.some((entry) => entry.isDirectory)) {
      take(loose, 0);
      return;
    }
    const files = (await Promise.all(entries.map(filesBelow))).flat();
    const pictures = files.filter(isPicture);
    take(pictures, files.length - pictures.length);
  });
}

async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((found, failed) => entry.file(found, failed))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    // A reader gives at most a hundred or so entries at a time, and none when it is through.
    const some = await new Promise((found, failed) => reader.readEntries(found, failed));
    if (some.length === 0) return files;
    for (const each of some) files.push(...await filesBelow(each));
  }
}
