// The panel below, the keys, and the beginning.
const here = document.getElementById("here");
const about = document.getElementById("about");

function describe() {
  const track = look.track;
  document.getElementById("name").textContent = track.name;
  const format = (x) => (track.value === "surprise" ? `${x} bits` : x.toPrecision(3));
  document.getElementById("low").textContent = format(track.low);
  document.getElementById("high").textContent = track.value === "surprise" ? "16 bits" : format(track.high);
  const canvas = document.getElementById("histogram");
  const often = new Uint32Array(256);
  for (let t = 0; t < count; t++) often[track.levels[t]]++;
  const bars = new Float64Array(STEPS);
  often.forEach((n, level) => n && (bars[Math.round(shadesOf(track)[level] * (STEPS - 1))] += n));
  const context = canvas.getContext("2d");
  const most = Math.max(...bars);
  context.clearRect(0, 0, canvas.width, canvas.height);
  bars.forEach((n, k) => {
    const tall = n ? Math.max(1, Math.sqrt(n / most) * canvas.height) : 0;
    context.fillStyle = `rgb(${palette[k].map((c) => Math.round(c * 0.85 + 128 * 0.15))})`;
    context.fillRect((k * canvas.width) / STEPS, canvas.height - tall, canvas.width / STEPS - 1, tall);
  });
  if (look.mark >= 0) point(look.mark);
}

function point(t) {
  const line = placeOf(lines, starts[t]);
  const bars = guesses(t).map(({ string, chance, hit }) =>
    `<span class="${hit ? "hit" : ""}">${escaped(visible(string)).replace(/ /g, "␣")}</span><u style="width:${chance * 100}%"></u>
     <span>${(chance * 100).toFixed(chance < 0.1 ? 1 : 0)} %</span>`);
  here.innerHTML = `<dl><dt>token</dt><dd>${escaped(visible(token(t))).replace(/ /g, "␣")}</dd>
    <dt>line, column</dt><dd>${line + 1}, ${starts[t] - lines[line] + 1}</dd>
    <dt>${look.track.name}</dt><dd>${amount(look.track, t).toFixed(3)}</dd>
    <dt>surprise</dt><dd>${t ? `${(surprise[t] / 16).toFixed(1)} bits` : "first token"}</dd></dl>
    ${bars.length ? `<dl><dt>expected next</dt></dl><div id="guesses">${bars.join("")}</div>` : ""}`;
}

function mark(t) {
  look.mark = t;
  draw(true);
  if (t >= 0) point(t);
  if (order.value === "here") makeList();
}

function toggleCandidates() {
  if (!meta.candidates) return;
  const first = begins[Math.min(begins.length - 1, Math.round(scroller.scrollTop / height))];
  look.guesses = !look.guesses;
  document.getElementById("candidates").setAttribute("aria-pressed", look.guesses);
  layOut();
  scroller.scrollTop = rowOf(first) * height;
  draw(true);
}

function toggleTheme(theme) {
  paint(theme ?? (document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  if (!look.track) return;
  drawMap();
  makeList();
  describe();
}

const KEYS = {
  ArrowUp: () => step(-1),
  ArrowDown: () => step(1),
  ArrowLeft: () => turn(-1),
  ArrowRight: () => turn(1),
  "/": () => search.select(),
  "?": () => about.showModal(),
  c: () => toggleCandidates(),
  t: () => toggleTheme(),
  Escape: () => mark(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || about.open) return;
  if (event.target === search) {
    if (event.key === "Escape") search.value = "";
    if (!["Escape", "Enter", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    makeList();
    list.focus();
    if (event.key !== "Escape" && listed.length && !listed.includes(look.track)) choose(listed[0]);
    return;
  }
  if (event.target === order || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
scroller.addEventListener("mousemove", (event) => {
  const t = tokenAt(event);
  if (t >= 0) point(t);
});
scroller.addEventListener("mouseleave", () => look.mark >= 0 && point(look.mark));
scroller.addEventListener("click", (event) => {
  const t = tokenAt(event);
  if (t >= 0) mark(t === look.mark ? -1 : t);
});
document.getElementById("candidates").addEventListener("click", toggleCandidates);
document.getElementById("theme").addEventListener("click", () => toggleTheme());
document.getElementById("about-button").addEventListener("click", () => about.showModal());
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => toggleTheme(dark.matches ? "dark" : "light"));
addEventListener("hashchange", () => {
  const track = tracks.find((each) => each.name === decodeURIComponent(location.hash.slice(1)));
  if (track && track !== look.track) choose(track);
});

document.getElementById("model").textContent = meta.description;
document.getElementById("notes").innerHTML = meta.notes.map((note) => `<p>${escaped(note)}</p>`).join("");
document.getElementById("candidates").disabled = !meta.candidates;
paint(dark.matches ? "dark" : "light");
makeValues();
await choose(tracks.find((track) => track.name === decodeURIComponent(location.hash.slice(1))) ?? tracks[0]);
layOut();
document.documentElement.dataset.ready = "true";
