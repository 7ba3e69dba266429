// The time axis that everything shares, and what the drawings have in common.

const GUTTER = 96; // px on the left, for names
const RIGHT = 52; // for figures

// The part of the test that is shown, and how it maps to pixels.
function makeView(end) {
  const margin = Math.max(end * .004, 1);
  const view = { whole: [-margin, end + margin], t0: -margin, t1: end + margin, width: 800 };
  view.plot = () => view.width - GUTTER - RIGHT;
  view.x = (t) => GUTTER + (t - view.t0) / (view.t1 - view.t0) * view.plot();
  view.t = (x) => view.t0 + (x - GUTTER) / view.plot() * (view.t1 - view.t0);
  view.perPixel = () => (view.t1 - view.t0) / view.plot();
  view.show = (t0, t1) => {
    const [low, high] = view.whole, size = Math.min(Math.max(t1 - t0, 50), high - low);
    const middle = (t0 + t1) / 2;
    view.t0 = Math.min(Math.max(middle - size / 2, low), high - size);
    view.t1 = view.t0 + size;
  };
  view.zoom = (factor, at) => view.show(at - (at - view.t0) * factor, at + (view.t1 - at) * factor);
  return view;
}

// Sizes a canvas in CSS pixels, sharp on every screen. Returns its context with the scale set, cleared.
function fitCanvas(canvas, width, height) {
  const ratio = pixelRatio();
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

const pixelRatio = () => Math.min(window.devicePixelRatio || 1, 2);

function timeTicks(view) {
  const step = roundStep((view.t1 - view.t0) / Math.max(2, view.plot() / 110));
  const ticks = [];
  for (let t = Math.ceil(Math.max(view.t0, 0) / step) * step; t <= view.t1; t += step) ticks.push(t);
  return { step, ticks };
}

function label(context, text, x, y, { size = 12, colour, weight, align = 'left', room = Infinity } = {}, app) {
  context.font = app.theme.font(size, weight);
  context.fillStyle = colour ?? app.theme.ink;
  context.textAlign = align;
  context.textBaseline = 'middle';
  context.fillText(room === Infinity ? text : fitText(context, text, room), x, y);
}

// The text, cut to the room it has; nothing if there is none.
function fitText(context, text, room) {
  if (room < 14) return '';
  if (context.measureText(text).width <= room) return text;
  let length = Math.max(1, Math.floor(text.length * room / context.measureText(text).width) - 1);
  while (length > 0 && context.measureText(text.slice(0, length) + '…').width > room) length--;
  return length > 1 ? text.slice(0, length) + '…' : '';
}

// Only the plot, not the names.
function inPlot(context, view, top, height, draw) {
  context.save();
  context.beginPath();
  context.rect(GUTTER, top, view.plot(), height);
  context.clip();
  draw();
  context.restore();
}

// A hatch of diagonal lines, for states that colour alone must not say.
function hatch(context, x, y, width, height, colour, gap = 6) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = 1.2;
  context.beginPath();
  for (let at = x - height - (x % gap); at < x + width; at += gap) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.restore();
}

// Tracks from top to bottom: [{name, top, height}], and how high all are.
function layOut(app) {
  const lanes = app.store.lanes.length, rows = app.faultRows.length, links = app.linkNames.length, sampled = app.store.samples.some((n) => n.at.length);
  app.laneHeight = lanes ? Math.min(24, Math.max(4, Math.floor((app.view.width > 1500 ? 470 : 330) / lanes))) : 0;
  const wanted = [['faults', rows * 22], ['links', links * (links > 12 ? 4 : 7)], ['nodes', sampled ? app.meta.nodes * 24 : 0], ['behind', sampled ? 54 : 0], ['age', sampled ? 64 : 0],
    ['lanes', lanes * app.laneHeight], ['latency', lanes ? 150 : 0], ['rate', lanes ? 96 : 0]];
  const tracks = {};
  let top = 8;
  for (const [name, height] of wanted) {
    if (!height) continue;
    tracks[name] = { top, height };
    top += height + 16;
  }
  app.tracks = tracks;
  app.height = Math.max(top, 40);
}

function drawAxis(app, canvas) {
  const { view, theme } = app, context = fitCanvas(canvas, view.width, 26), { step, ticks } = timeTicks(view);
  for (const t of ticks) {
    const x = view.x(t);
    if (x > GUTTER + view.plot() + 8) continue;
    label(context, moment(t, step), x, 12, { colour: theme.soft, align: 'center' }, app);
  }
  context.fillStyle = theme.line;
  context.fillRect(GUTTER, 25, view.plot(), 1);
}

function drawGrid(app, context) {
  context.fillStyle = app.theme.line;
  for (const t of timeTicks(app.view).ticks) context.fillRect(Math.round(app.view.x(t)), 0, 1, app.height);
}

// The whole test, small: rate, faults, broken promises, and a window on what is shown.
function drawOverview(app, canvas) {
  const { view, theme, store } = app, height = 46, context = fitCanvas(canvas, view.width, height);
  const [low, high] = view.whole, x = (t) => GUTTER + (t - low) / (high - low) * view.plot();
  context.fillStyle = theme.faint;
  context.fillRect(GUTTER, 4, view.plot(), height - 8);
  for (const fault of app.meta.faults) {
    context.fillStyle = faultColour(theme, fault.fault) + '38';
    context.fillRect(x(fault.at), 4, Math.max(1, x(fault.until ?? store.end) - x(fault.at)), height - 8);
  }
  const bins = app.overviewBins ??= overviewBins(store), top = Math.max(1, ...bins), width = view.plot() / bins.length;
  context.fillStyle = mix(theme.soft, theme.paper, .35);
  bins.forEach((count, i) => { const tall = count / top * (height - 14); context.fillRect(GUTTER + i * width, height - 5 - tall, width + .5, tall); });
  context.fillStyle = theme.bad;
  for (const { at } of app.meta.violations) {
    if (at === null) continue;
    context.beginPath();
    context.moveTo(x(at) - 6, 0);
    context.lineTo(x(at) + 6, 0);
    context.lineTo(x(at), 9);
    context.fill();
  }
  context.fillStyle = theme.paper + 'b8';
  const [a, b] = [x(view.t0), Math.max(x(view.t0) + 3, x(view.t1))];
  context.fillRect(GUTTER, 4, Math.max(0, a - GUTTER), height - 8);
  context.fillRect(b, 4, Math.max(0, GUTTER + view.plot() - b), height - 8);
  context.strokeStyle = theme.accent;
  context.lineWidth = 2;
  context.strokeRect(a, 3, b - a, height - 6);
  label(context, 'whole test', GUTTER - 10, height / 2, { colour: theme.soft, align: 'right' }, app);
}

function overviewBins(store) {
  const bins = new Array(300).fill(0);
  for (let i = 0; i < store.rows; i++) bins[Math.min(299, Math.floor(store.invoked[i] / store.end * 300))]++;
  return bins;
}
