// Colours of values: blue below the middle, orange above it, which every kind of colour vision tells apart.
// The list is made once for each theme and serves the text (as classes v0 ... v40) and the canvases alike.
const STEPS = 41;
const STOPS = {
  light: ["#0a4a94", "#69a3da", "#fbfaf8", "#f0a155", "#a34600"],
  dark: ["#86c5ff", "#2b64a6", "#171a20", "#9f5a16", "#ffb970"],
};
const sheet = document.head.appendChild(document.createElement("style"));
let palette = [];

function paint(theme) {
  document.documentElement.dataset.theme = theme;
  const stops = STOPS[theme].map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  palette = Array.from({ length: STEPS }, (_, k) => {
    const place = (k / (STEPS - 1)) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    return stops[left].map((c, i) => Math.round(c + (stops[left + 1][i] - c) * (place - left)));
  });
  sheet.textContent = palette.map((c, k) => `.v${k}{background:rgb(${c});color:${readable(c)}}`).join("");
  document.getElementById("bar").style.background =
    `linear-gradient(to right, ${palette.map((c) => `rgb(${c})`).join(",")})`;
}

function luminance(colour) {
  const [r, g, b] = colour.map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// black or white, whichever stands out more: one of them always has a contrast above 4.5
function readable(colour) {
  const l = luminance(colour) + 0.05;
  return l / 0.05 > 1.05 / l ? "#000" : "#fff";
}

// fills a canvas with means of levels: `cells` numbers from 0 to 1, NaN where there is no text
function heat(canvas, cells, width, height) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let k = 0; k < cells.length; k++) {
    if (Number.isNaN(cells[k])) continue;
    const colour = palette[Math.round(cells[k] * (STEPS - 1))];
    image.data.set([...colour, 255], 4 * k);
  }
  context.putImageData(image, 0, 0);
}
