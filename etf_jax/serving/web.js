"use strict";

const byId = (id) => document.getElementById(id);
const drop = byId("drop"), input = byId("files"), list = byId("results");
let limits = { images: 1, megabytes: 1 };

function add(parent, tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
}

function say(text, bad) {
  byId("status").textContent = text;
  byId("status").className = bad ? "bad" : "muted";
}

function line(parent, name, value, share) {
  const row = add(parent, "div", undefined, "row");
  if (share !== undefined) add(row, "div", undefined, "bar").style.width = 100 * share + "%";
  add(row, "span", name);
  add(row, "span", value);
}

function show(file, row, calibrated) {
  const item = document.createElement("li");
  if (row.error === null) {
    const image = add(item, "img");
    image.alt = row.class;
    image.src = URL.createObjectURL(file);
    image.onload = () => URL.revokeObjectURL(image.src);
  }
  add(item, "p", row.image, "file");
  if (row.error !== null) {
    add(item, "p", "Not classified: " + row.error, "bad");
  } else {
    add(item, "h2", row.class);
    add(item, "h3", calibrated ? "Probability" : "Probability (not calibrated)");
    for (const c of row.classes) {
      line(item, c.name, (100 * c.probability).toFixed(1) + " %", c.probability);
    }
    add(item, "h3", "Nearest prototypes");
    for (const c of row.nearest) line(item, c.name, c.angle.toFixed(1) + "°");
  }
  return item;
}

async function classify(files) {
  if (!files.length) return;
  if (files.length > limits.images) {
    return say(`Choose at most ${limits.images} photographs.`, true);
  }
  const form = new FormData();
  for (const file of files) form.append("image", file);
  say(`Classifying ${files.length} …`);
  try {
    const answer = await fetch("/predict", { method: "POST", body: form });
    const found = await answer.json();
    if (!answer.ok) return say(found.error, true);
    list.prepend(...found.images.map((row, i) => show(files[i], row, found.calibrated)));
    say("");
  } catch (error) {
    say("The server does not answer: " + error.message, true);
  }
}

async function start() {
  byId("address").textContent = location.origin + "/";
  const model = await (await fetch("/model")).json();
  limits = model.limits;
  byId("model").textContent = `${model.description}; ${model.class_names.length} classes`;
}

input.addEventListener("change", () => classify([...input.files]).then(() => { input.value = ""; }));
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  classify([...event.dataTransfer.files]);
});
start();
