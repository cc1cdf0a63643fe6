// Searching the classes of the model as one types; without scripts the server does.
const form = document.getElementById("find");
const classes = [...document.querySelectorAll("#classes li")];
const words = classes.map((each) => `${each.querySelector("b").textContent} ${each.querySelector("small").textContent}`.toLowerCase());

function find() {
  const wanted = form.elements.find.value.trim().toLowerCase();
  let shown = 0;
  classes.forEach((each, i) => {
    each.hidden = !words[i].includes(wanted);
    shown += !each.hidden;
  });
  form.elements.count.textContent = `${wanted ? `${shown} of ` : ""}${classes.length} classes`;
  document.getElementById("none").hidden = shown > 0;
}

// A page that the server has searched already shows a part of the classes: the rest comes with the whole page.
if (form && !location.search) {
  form.addEventListener("input", find);
  form.addEventListener("submit", (event) => event.preventDefault());
  find();
}
