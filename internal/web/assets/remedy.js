// What is known about the errors of pictures: the server writes it into the page, so that it is written once.

const remedies = new Map([...document.querySelectorAll("#remedies li")].map((each) => [each.dataset.code,
  { todo: each.textContent, kept: "kept" in each.dataset, again: "again" in each.dataset }]));
const unknown = { todo: "", kept: true, again: true };

// remedy says what can be done about an error: todo in words, whether the bytes are kept, and whether sending again may help.
export const remedy = (code) => remedies.get(code) ?? unknown;
