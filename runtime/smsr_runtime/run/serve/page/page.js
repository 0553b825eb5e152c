// Sends the picture to this server, shows what comes back; nothing is loaded from anywhere else.
"use strict";

const element = (id) => document.getElementById(id);
let about = null;
let picture = null; // the File that was dropped last
let asked = null; // AbortController of the request that runs
let shown = []; // object URLs in use

const number = (value, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });

function say(text, kind = "") {
  element("status").textContent = text;
  element("status").className = kind;
}

async function begin() {
  about = await answerOf(await fetch("/about"));
  element("about").textContent = `${about.name}, x${about.scale}, ${about.path}`;
  const { upload, pixels } = about.limits;
  element("limits").textContent = `Up to ${number(upload / 2 ** 20, 1)} MiB and ${number(pixels / 1e6, 2)} megapixels.`;
  const theta = element("theta");
  theta.min = Math.min(0, about.theta);
  theta.max = Math.max(6, about.theta);
  if (about.theta % 0.25) theta.step = "any";
  theta.value = about.theta;
  showTheta();
}

function showTheta() {
  element("theta-value").textContent = number(Number(element("theta").value), 2);
}

// The response where it is a good one; an Error with the server's line otherwise.
async function answerOf(response) {
  if (response.ok) return response.headers.get("content-type").startsWith("application/json") ? response.json() : response;
  let line = `HTTP ${response.status}`;
  try {
    line = (await response.json()).error.message;
  } catch {
    // not our own answer: its code says enough
  }
  throw new Error(line);
}

async function upscale() {
  if (picture === null || about === null) return;
  asked?.abort();
  const mine = (asked = new AbortController());
  const file = picture;
  try {
    const most = about.limits.upload;
    if (file.size > most) throw new Error(`upload: expected a file of at most ${most} bytes, got ${file.size}; use smsr-run itself`);
    say("Computing …", "busy");
    const start = performance.now();
    const query = new URLSearchParams({ theta: element("theta").value });
    const response = await answerOf(await fetch(`/upscale?${query}`, { method: "POST", body: file, signal: mine.signal }));
    const form = await response.formData();
    const record = JSON.parse(await form.get("record").text());
    if (mine.signal.aborted) return;
    await show(file, form, record, Number(query.get("theta")), (performance.now() - start) / 1000);
    say("");
  } catch (error) {
    if (!mine.signal.aborted) say(error instanceof TypeError ? "The server does not answer: is smsr-run still running?" : error.message, "wrong");
  }
}

async function show(file, form, record, theta, seconds) {
  const old = shown;
  const urls = [form.get("result"), form.get("masks"), file].map((blob) => URL.createObjectURL(blob));
  shown = urls;
  element("after").src = urls[0];
  element("masks").src = urls[1];
  element("before").src = urls[2];
  const seen = await element("before").decode().then(() => true, () => false);
  for (const id of ["before", "line", "tag-before", "split"]) element(id).hidden = !seen;
  const link = element("download");
  link.href = urls[0];
  link.download = `${file.name.replace(/\.[^.]*$/, "") || "picture"}-x${about.scale}.png`;
  facts(record, theta, seconds, seen);
  shares(record.active);
  element("shown").hidden = false;
  old.forEach((url) => URL.revokeObjectURL(url));
}

function facts(record, theta, seconds, seen) {
  const size = ({ width, height }) => `${width} × ${height}`;
  const mean = record.active.reduce((sum, share) => sum + share, 0) / record.active.length;
  const rows = [
    ["size", `${size(record.input_size)} → ${size(record.output_size)} pixels`],
    ["work", `${number(100 * mean, 1)} % of the pixels active on average, at theta ${number(theta, 2)}`],
    ["computed in", `${number(record.seconds, 3)} s: reading, network, writing (${record.path})`],
    ["waited", `${number(record.waited, 3)} s in the queue`],
    ["in all", `${number(seconds, 3)} s with the way to this page and back`],
  ];
  if (record.strips) rows.push(["strips", `${record.strips.count}: the picture does not fit into memory as a whole`]);
  for (const note of record.notes) rows.push(["note", note]);
  if (!seen) rows.push(["before", "this browser cannot show the file that was dropped"]);
  element("facts").replaceChildren(...rows.map(([name, text]) => {
    const row = document.createElement("tr");
    row.append(Object.assign(document.createElement("th"), { textContent: name, scope: "row" }));
    row.append(Object.assign(document.createElement("td"), { textContent: text }));
    return row;
  }));
}

function shares(active) {
  element("shares").replaceChildren(...active.flatMap((share, index) => [
    Object.assign(document.createElement("span"), { textContent: `module ${index + 1}` }),
    Object.assign(document.createElement("progress"), { value: share, title: `active share of module ${index + 1}` }),
    Object.assign(document.createElement("span"), { textContent: `${number(100 * share, 1)} %` }),
  ]));
}

function take(files) {
  if (!files?.length) return;
  picture = files[0];
  upscale();
}

const drop = element("drop");
element("file").addEventListener("change", (event) => take(event.target.files));
for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
for (const name of ["dragleave", "drop"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  drop.classList.remove("over");
});
document.addEventListener("drop", (event) => take(event.dataTransfer.files));
document.addEventListener("paste", (event) => take(event.clipboardData.files));
element("theta").addEventListener("input", showTheta);
element("theta").addEventListener("change", upscale);
element("split").addEventListener("input", (event) => element("pair").style.setProperty("--split", `${event.target.value}%`));
element("pair").addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  const box = element("pair").getBoundingClientRect();
  element("split").value = (100 * (event.clientX - box.left)) / box.width;
  element("split").dispatchEvent(new Event("input"));
});
for (const image of document.querySelectorAll("#pair img")) image.draggable = false;
element("zoom").addEventListener("click", (event) => {
  const actual = element("pair").classList.toggle("actual");
  event.target.setAttribute("aria-pressed", String(actual));
});
begin().catch((error) => say(error.message, "wrong"));
