// The browser of units: states and gates by layer, their units with a strip of the whole text each, and the search.
const list = document.getElementById("units");
const search = document.getElementById("search");
const order = document.getElementById("order");
const values = [...new Set(tracks.map((track) => track.value))].filter((value) => value !== "surprise");
values.sort((a, b) => meta.values.indexOf(a) - meta.values.indexOf(b));
values.push("surprise");
let value = null; // whose units are listed
let listed = [];

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) strip(target);
}, { root: list, rootMargin: "200px" });

async function strip(item) {
  seen.unobserve(item);
  const track = await load(tracks[item.dataset.rank]);
  heat(item.querySelector("canvas"), summary(track, 110), 110, 1);
}

function makeValues() {
  const groups = new Map();
  for (const name of values) {
    const [layer, local] = name.includes(".") ? name.split(".") : ["loss", name];
    groups.set(layer, [...(groups.get(layer) ?? []), [name, local]]);
  }
  document.getElementById("values").innerHTML = [...groups].map(([layer, names]) =>
    `<span>${layer.replace(/(\d)/, " $1")}</span><div>${names.map(([name, local]) =>
      `<button role="tab" data-value="${name}" title="${name}">${local}</button>`).join("")}</div>`).join("");
}

async function makeList() {
  const words = search.value.toLowerCase().split(/[\s:]+/).filter(Boolean);
  const matches = (track) => words.every((word) => (/^\d+$/.test(word) ? String(track.unit).startsWith(word) : track.name.includes(word)));
  listed = tracks.filter(words.length ? matches : (track) => track.value === value);
  const here = order.value === "here" && look.mark >= 0;
  if (order.value === "unit") listed.sort((a, b) => values.indexOf(a.value) - values.indexOf(b.value) || a.unit - b.unit);
  if (here) {
    await Promise.all(listed.map(load));
    listed.sort((a, b) => shade(b, look.mark) - shade(a, look.mark));
  }
  list.className = words.length ? "mixed" : "";
  document.getElementById("count").textContent = `${listed.length} ${listed.length === 1 ? "unit" : "units"}`;
  list.innerHTML = listed.map((track) => `<li role="option" data-rank="${track.rank}" aria-selected="false">
    <span>${words.length ? track.name : track.value === "surprise" ? "bits" : track.unit}</span><canvas width="110" height="1"></canvas>
    <em>${here ? amount(track, look.mark).toFixed(2) : track.deviation === undefined ? "" : `±${track.deviation.toPrecision(2)}`}</em></li>`).join("");
  for (const item of list.children) seen.observe(item);
  select();
}

function select() {
  for (const item of list.children) {
    const chosen = Number(item.dataset.rank) === look.track?.rank;
    item.setAttribute("aria-selected", chosen);
    if (chosen) item.scrollIntoView({ block: "nearest" });
  }
  for (const button of document.querySelectorAll("#values button")) {
    button.setAttribute("aria-selected", button.dataset.value === look.track?.value);
  }
}

async function choose(track) {
  look.track = await load(track);
  history.replaceState(null, "", `#${track.name}`);
  if (value !== track.value && !search.value) {
    value = track.value;
    await makeList();
  }
  value = track.value;
  select();
  draw(true);
  drawMap();
  describe();
}

// the unit above or below in the list
function step(by) {
  const place = listed.indexOf(look.track);
  const next = listed[Math.max(0, Math.min(listed.length - 1, place < 0 ? 0 : place + by))];
  if (next) choose(next);
}

// the same unit of the state or gate to the left or right, or the first that is on this page
function turn(by) {
  const next = values[(values.indexOf(look.track.value) + by + values.length) % values.length];
  search.value = "";
  const same = tracks.find((track) => track.value === next && track.unit === look.track.unit);
  choose(same ?? tracks.find((track) => track.value === next));
}

list.addEventListener("click", (event) => {
  const item = event.target.closest("li");
  if (item) choose(tracks[item.dataset.rank]);
});
document.getElementById("values").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  search.value = "";
  value = null;
  choose(tracks.find((track) => track.value === button.dataset.value && track.unit === look.track.unit)
    ?? tracks.find((track) => track.value === button.dataset.value));
});
search.addEventListener("input", () => makeList());
order.addEventListener("change", () => makeList());
