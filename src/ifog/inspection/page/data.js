// What the page holds: every block is deflated bytes in base64, unpacked when it is first wanted.
const meta = JSON.parse(document.getElementById("meta").textContent);
const unpacked = new Map();

function block(name) {
  if (!unpacked.has(name)) unpacked.set(name, unpack(document.getElementById(`block-${name}`)));
  return unpacked.get(name);
}

async function unpack(element) {
  const packed = Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function numbers(bytes, size) {
  return size === 1 ? bytes : size === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
}

const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(await block("text"));
const lengths = meta.lengths ? numbers(await block("lengths"), 2) : null;
const count = meta.tokens;
const starts = new Uint32Array(count + 1); // where each token begins in `text`
for (let t = 0, place = 0; t < count; t++) {
  for (let k = lengths ? lengths[t] : 1; k > 0; k--) place += text.codePointAt(place) > 0xffff ? 2 : 1;
  starts[t + 1] = place;
}
const bestIds = numbers(await block("best"), meta.idBytes);
const chances = await block("chances");
const surprise = await block("surprise"); // sixteenths of a bit

// where each line begins in `text`, to tell lines and columns
const lines = [0];
for (let place = text.indexOf("\n"); place >= 0; place = text.indexOf("\n", place + 1)) lines.push(place + 1);

// the last place in a sorted list whose number is at most x
function placeOf(sorted, x) {
  let low = 0, high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (sorted[middle] <= x) low = middle;
    else high = middle - 1;
  }
  return low;
}

const token = (t) => text.slice(starts[t], starts[t + 1]);

function visible(string) {
  if (string === "") return "·"; // a byte within a character
  return string.replace(/[\0-\x1f\x7f\u0080-\u009f]/g, (c) =>
    c === "\n" ? "↵" : c === "\t" ? "⇥   " : c === "\r" ? "␍" : "␦");
}

function escaped(string) {
  return string.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
}

// the k likeliest next tokens after token t: their text, their chance, and whether it came
function guesses(t) {
  return Array.from({ length: meta.candidates }, (_, k) => {
    const string = meta.vocabulary[bestIds[k * count + t]];
    return { string, chance: chances[k * count + t] / 255, hit: t + 1 < count && string === token(t + 1) };
  });
}

// Tracks: one unit of one value over the whole text. Surprise is the last one.
const tracks = meta.tracks.map(([value, unit, low, high, mean, deviation], k) => ({
  block: `track-${k}`, value: meta.values[value], unit, low, high, mean, deviation, rank: k,
  name: `${meta.values[value]}:${unit}`, levels: null,
}));
tracks.push({ block: "surprise", value: "surprise", unit: 0, low: 0, high: 16, rank: tracks.length, name: "surprise" });

async function load(track) {
  track.levels ??= await block(track.block);
  return track;
}

// what each level is from 0 to 1; the middle of the palette is 0.5, where surprise begins
const SHADES = Float64Array.from({ length: 256 }, (_, level) => level / (meta.levels - 1));
const SURPRISES = Float64Array.from({ length: 256 }, (_, level) => 0.5 + level / 512);
const shadesOf = (track) => (track.value === "surprise" ? SURPRISES : SHADES);
const shade = (track, t) => shadesOf(track)[track.levels[t]];

function amount(track, t) {
  if (track.value === "surprise") return track.levels[t] / 16;
  return track.low + (track.high - track.low) * (track.levels[t] / (meta.levels - 1));
}

// means of the shade over `cells` equal stretches of the text
function summary(track, cells) {
  const { levels } = track;
  const shades = shadesOf(track);
  return Float64Array.from({ length: cells }, (_, k) => {
    const begin = Math.floor((k * count) / cells);
    const end = Math.floor(((k + 1) * count) / cells);
    let sum = 0;
    for (let t = begin; t < end; t++) sum += shades[levels[t]];
    return end > begin ? sum / (end - begin) : NaN;
  });
}
