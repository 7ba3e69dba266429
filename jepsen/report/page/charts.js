// Latency and rate of the operations that pass the filter, in steps of time that do not move when the view does.

const LATENCY_FROM = 50, LATENCY_DECADES = 5.5; // 50 us .. 16 s
const PER_DECADE = 24, LATENCY_BINS = Math.ceil(LATENCY_DECADES * PER_DECADE);
const KINDS = 6;
const FEWEST = 3; // operations in a step, for a quantile to mean something; fewer are points only

// Counts by step of time and kind: {step, first, steps, ok, fail, info, latency}.
function countSteps(app) {
  const { view, store } = app, step = roundStep(view.perPixel() * 4), first = Math.floor(view.t0 / step), steps = Math.ceil(view.t1 / step) - first + 1;
  const counts = { step, first, steps, ok: new Uint32Array(steps * KINDS), fail: new Uint32Array(steps), info: new Uint32Array(steps), latency: new Uint32Array(steps * KINDS * LATENCY_BINS) };
  const from = lowerBound(store.invoked, first * step), to = lowerBound(store.invoked, view.t1);
  for (let i = from; i < to; i++) {
    if (!store.mask[i]) continue;
    const bin = Math.floor(store.invoked[i] / step) - first;
    if (app.types[i] === FAIL) counts.fail[bin]++;
    else if (app.types[i] === INFO) counts.info[bin]++;
    else {
      const row = bin * KINDS + store.kind[i];
      counts.ok[row]++;
      counts.latency[row * LATENCY_BINS + Math.min(LATENCY_BINS - 1, Math.floor(latencyShare(store.ends[i] - store.invoked[i]) * LATENCY_BINS))]++;
    }
  }
  return counts;
}

// 0..1 on the log axis.
const latencyShare = (us) => Math.min(.9999, Math.max(0, Math.log10(Math.max(us, 1) / LATENCY_FROM) / LATENCY_DECADES));

// The quantile's place on the axis, 0..1, or -1 where nothing was counted.
function latencyQuantile(counts, row, share) {
  const wanted = Math.max(1, Math.ceil(counts.ok[row] * share));
  if (counts.ok[row] < FEWEST) return -1;
  for (let bin = 0, seen = 0; bin < LATENCY_BINS; bin++) {
    seen += counts.latency[row * LATENCY_BINS + bin];
    if (seen >= wanted) return (bin + .5) / LATENCY_BINS;
  }
  return -1;
}

function drawLatency(app, context, counts) {
  const { view, theme } = app, { top, height } = app.tracks.latency;
  label(context, 'latency', GUTTER - 10, top + 8, { colour: theme.soft, align: 'right' }, app);
  label(context, 'p50 bold', GUTTER - 10, top + 24, { colour: theme.soft, size: 11, align: 'right' }, app);
  label(context, 'p99 fine', GUTTER - 10, top + 38, { colour: theme.soft, size: 11, align: 'right' }, app);
  for (const us of [100, 1e3, 1e4, 1e5, 1e6]) {
    const y = top + height - latencyShare(us) * height;
    context.fillStyle = theme.line;
    context.fillRect(GUTTER, Math.round(y), view.plot(), 1);
    label(context, span(us), view.width, y, { size: 11, colour: theme.soft, align: 'right' }, app);
  }
  paintPoints(app, context);
  inPlot(context, view, top, height, () => {
    for (let kind = 0; kind < KINDS; kind++) {
      drawQuantile(app, context, counts, kind, .99, 1);
      drawQuantile(app, context, counts, kind, .5, 2.2);
    }
  });
}

function drawQuantile(app, context, counts, kind, share, width) {
  const { view, theme } = app, { top, height } = app.tracks.latency;
  context.strokeStyle = theme.kinds[kind];
  context.lineWidth = width;
  context.lineJoin = 'round';
  context.beginPath();
  let gap = 99;
  for (let bin = 0; bin < counts.steps; bin++) {
    const place = latencyQuantile(counts, bin * KINDS + kind, share);
    if (place < 0) { gap++; continue; }
    const x = view.x((counts.first + bin + .5) * counts.step), y = top + height - place * height;
    if (gap > 3) context.moveTo(x, y); else context.lineTo(x, y);
    gap = 0;
  }
  context.stroke();
}

// A point for every operation: by kind, and those that failed or never ended in their own colours.
function paintPoints(app, context) {
  const { view, store, theme } = app, { top, height } = app.tracks.latency, ratio = pixelRatio();
  const width = Math.round(view.plot() * ratio), rows = Math.round(height * ratio), image = imageFor(app, 'latency', width, rows);
  const odd = [0, pixel(theme.fail, 190), pixel(theme.info, 220)];
  const scale = width / (view.t1 - view.t0), points = lowerBound(store.invoked, view.t1) - lowerBound(store.invoked, view.t0);
  const size = Math.round((points < 1000 ? 3.5 : points < 6000 ? 2 : 1.5) * ratio), alpha = points < 6000 ? 200 : 84;
  const colours = theme.kinds.map((colour) => pixel(colour, alpha)), from = lowerBound(store.invoked, view.t0), to = from + points;
  for (let i = from; i < to; i++) {
    if (!store.mask[i]) continue;
    const colour = app.types[i] === OK ? colours[store.kind[i]] : odd[app.types[i]];
    const x = Math.floor((store.invoked[i] - view.t0) * scale), y = Math.floor((1 - latencyShare(store.ends[i] - store.invoked[i])) * (rows - size));
    for (let dy = 0; dy < size; dy++) for (let dx = 0; dx < size && x + dx < width; dx++) image.words[(y + dy) * width + x + dx] = colour;
  }
  putImage(context, image, GUTTER, top, view.plot(), height);
}

// Answered operations upwards, stacked by kind; refused and unknown ones downwards.
function drawRate(app, context, counts) {
  const { view, theme } = app, { top, height } = app.tracks.rate, perSecond = 1e6 / counts.step * app.meta.stride;
  const sums = new Float64Array(counts.steps);
  for (let row = 0; row < counts.ok.length; row++) sums[Math.floor(row / KINDS)] += counts.ok[row];
  const up = Math.max(1, ...sums), down = Math.max(0, ...counts.fail.map((n, i) => n + counts.info[i])), unit = height / (up + down);
  const base = top + up * unit;
  label(context, 'rate', GUTTER - 10, top + 8, { colour: theme.soft, align: 'right' }, app);
  if (down) label(context, 'not done', GUTTER - 10, Math.min(base + 10, top + height - 2), { colour: theme.soft, size: 11, align: 'right' }, app);
  inPlot(context, view, top, height, () => {
    for (let bin = 0; bin < counts.steps; bin++) {
      const x = view.x((counts.first + bin) * counts.step), width = Math.max(1, counts.step / view.perPixel() - 1);
      let y = base;
      for (let kind = 0; kind < KINDS; kind++) {
        const tall = counts.ok[bin * KINDS + kind] * unit;
        if (!tall) continue;
        context.fillStyle = theme.kinds[kind];
        context.fillRect(x, y - tall, width, tall);
        y -= tall;
      }
      context.fillStyle = theme.fail;
      context.fillRect(x, base + 1, width, counts.fail[bin] * unit);
      context.fillStyle = theme.info;
      context.fillRect(x, base + 1 + counts.fail[bin] * unit, width, counts.info[bin] * unit);
    }
  });
  context.fillStyle = theme.soft;
  context.fillRect(GUTTER, base, view.plot(), 1);
  label(context, `${grouped(Math.round(up * perSecond))}/s`, view.width, top + 5, { size: 11, colour: theme.soft, align: 'right' }, app);
}
