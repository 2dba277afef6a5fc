// The text: rows of tokens, of which only those in sight exist; and the map of the whole text beside them.
const scroller = document.getElementById("scroller");
const sizer = document.getElementById("sizer");
const rows = document.getElementById("rows");
const map = document.getElementById("map");
const AHEAD = 6; // rows above and below those in sight

const look = { track: null, guesses: false, mark: -1 };
let begins = [0]; // the first token of each row
let advance = 8; // width of a character in pixels
let height = 21; // of a row
let drawn = "";

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u;
const width = (string) => (string.length === 1 && string < "\u1100" ? 1 : [...string].reduce((n, c) => n + (WIDE.test(c) ? 2 : 1), 0));

function layOut() {
  const probe = rows.appendChild(document.createElement("div"));
  probe.innerHTML = `<b>${"x".repeat(100)}</b>`;
  advance = probe.firstChild.getBoundingClientRect().width / 100;
  probe.remove();
  height = look.guesses ? 21 + 15 * meta.candidates + 7 : 21;
  rows.style.setProperty("--row", `${height}px`);
  const columns = Math.max(20, Math.floor((scroller.clientWidth - 36) / advance));
  begins = [];
  for (let t = 0, column = columns; t < count; t++) {
    const plain = starts[t + 1] - starts[t] === 1;
    const code = text.charCodeAt(starts[t]);
    const size = plain && code > 31 && code < 127 ? 1 : width(visible(token(t)));
    const broken = t > 0 && text.charCodeAt(starts[t] - 1) === 10 && starts[t] > starts[t - 1];
    if (column + size > columns || broken) {
      begins.push(t);
      column = 0;
    }
    column += size;
  }
  sizer.style.height = `${begins.length * height}px`;
  draw(true);
  drawMap();
}

const rowOf = (t) => placeOf(begins, t);

function draw(anew = false) {
  if (!look.track?.levels) return;
  const first = Math.max(0, Math.floor(scroller.scrollTop / height) - AHEAD);
  const last = Math.min(begins.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / height) + AHEAD);
  if (!anew && drawn === `${first} ${last}`) return;
  drawn = `${first} ${last}`;
  let html = "";
  for (let row = first; row < last; row++) {
    html += `<div data-begin="${begins[row]}">`;
    for (let t = begins[row]; t < (begins[row + 1] ?? count); t++) html += cell(t);
    html += "</div>";
  }
  rows.innerHTML = html;
  rows.style.transform = `translateY(${first * height}px)`;
  const whole = Math.max(sizer.clientHeight, 1);
  const view = document.getElementById("view").style;
  view.top = `${(scroller.scrollTop / whole) * mapHeight()}px`;
  view.height = `${Math.min(1, scroller.clientHeight / whole) * mapHeight()}px`;
}

function cell(t) {
  const string = visible(token(t));
  const faded = string === "↵" || string === "·" || string[0] === "⇥" ? " faded" : "";
  const marked = t === look.mark ? " marked" : "";
  const own = `<b class="v${Math.round(shade(look.track, t) * (STEPS - 1))}${faded}${marked}">${escaped(string)}</b>`;
  if (!look.guesses) return own;
  const below = guesses(t).map(({ string, chance, hit }) =>
    `<i style="--p:${chance.toFixed(2)}"${hit ? ' class="hit"' : ""}>${chance ? escaped(visible(string).trimEnd()) || " " : " "}</i>`);
  return `<span>${own}${below.join("")}</span>`;
}

// the token under the pointer, or -1
function tokenAt(event) {
  const row = event.target.closest("#rows > div");
  if (!row) return -1;
  let element = event.target;
  while (element && element.parentElement !== row) element = element.parentElement;
  return element ? Number(row.dataset.begin) + Array.prototype.indexOf.call(row.children, element) : -1;
}

// pixels that the map takes: the whole column, or less for a short text
const mapHeight = () => Math.min(map.clientHeight, begins.length * 4);

// one cell of the map is a few characters of a few rows
function drawMap() {
  if (!look.track?.levels) return;
  const across = 21;
  const down = Math.max(1, Math.min(Math.round(map.clientHeight / 2), begins.length));
  const columns = Math.max(20, Math.floor((scroller.clientWidth - 36) / advance));
  const sums = new Float64Array(across * down);
  const counts = new Float64Array(across * down);
  const { levels } = look.track;
  const shades = shadesOf(look.track);
  for (let row = 0; row < begins.length; row++) {
    const y = Math.floor((row * down) / begins.length);
    const end = begins[row + 1] ?? count;
    for (let t = begins[row]; t < end; t++) {
      const place = y * across + Math.min(across - 1, Math.floor(((t - begins[row]) * across) / columns));
      sums[place] += shades[levels[t]];
      counts[place]++;
    }
  }
  const canvas = map.querySelector("canvas");
  canvas.style.height = `${mapHeight()}px`;
  heat(canvas, sums.map((sum, k) => (counts[k] ? sum / counts[k] : NaN)), across, down);
}

function jump(event) {
  const canvas = map.querySelector("canvas").getBoundingClientRect();
  const share = (event.clientY - canvas.top) / canvas.height;
  scroller.scrollTop = share * sizer.clientHeight - scroller.clientHeight / 2;
}

scroller.addEventListener("scroll", () => requestAnimationFrame(() => draw()), { passive: true });
map.addEventListener("pointerdown", (event) => {
  map.setPointerCapture(event.pointerId);
  jump(event);
});
map.addEventListener("pointermove", (event) => event.buttons && jump(event));
new ResizeObserver(() => layOut()).observe(scroller);
