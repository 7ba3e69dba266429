// One lane per client. Far out, operations are pixels of an image, so that any number of them costs the same; near, they are
// shapes with words. Where several share a pixel, writes show at the top, reads in the middle, failures at the bottom.

const SHAPES_UP_TO = 1200; // operations

function drawLanes(app, context) {
  const { view, theme, store } = app, { top, height } = app.tracks.lanes, tall = app.laneHeight;
  const every = Math.max(1, Math.ceil(13 / tall));
  store.lanes.forEach((_, lane) => {
    context.fillStyle = theme.line + '70';
    context.fillRect(GUTTER, top + (lane + 1) * tall - 1, view.plot(), 1);
    if (lane % every === 0) label(context, lane ? `${lane}` : 'client 0', GUTTER - 10, top + lane * tall + tall / 2, { size: Math.min(12, Math.max(10, tall - 4)), colour: theme.soft, align: 'right' }, app);
  });
  const ranges = store.lanes.map((list) => laneRange(store, list, view));
  const shown = ranges.reduce((sum, [from, to]) => sum + to - from, 0);
  if (shown > SHAPES_UP_TO) paintLanes(app, context, ranges);
  else inPlot(context, view, top, height, () => drawShapes(app, context, ranges));
}

// Positions in the lane's list of what may be visible: operations of a lane do not overlap.
function laneRange(store, list, view) {
  const from = lowerBound(list, view.t0, (at) => store.invoked[list[at]]);
  const to = lowerBound(list, view.t1, (at) => store.invoked[list[at]]);
  return [Math.max(0, from - 2), to];
}

function paintLanes(app, context, ranges) {
  const { view, store, theme } = app, { top, height } = app.tracks.lanes, ratio = pixelRatio();
  const width = Math.round(view.plot() * ratio), rows = Math.round(height * ratio), image = imageFor(app, 'lanes', width, rows);
  const reads = new Uint8Array(width), writes = new Uint8Array(width), marks = new Uint8Array(width);
  const palette = theme.palettes[app.mode].map((colour) => pixel(mix(colour, theme.paper, .2))), writeColours = palette.slice(); // softer: many side by side are loud
  const fail = pixel(theme.fail), info = pixel(theme.info), ordered = app.mode === 'measured';
  if (ordered) writeColours[7] = pixel(mix(theme.write, theme.paper, .55));
  store.lanes.forEach((list, lane) => {
    reads.fill(0); writes.fill(0); marks.fill(0);
    for (let at = ranges[lane][0]; at < ranges[lane][1]; at++) fillRow(app, list[at], width, reads, writes, marks, ordered);
    const y0 = Math.round(lane * app.laneHeight * ratio), bar = Math.max(2, Math.round((app.laneHeight - 3) * ratio)), readFrom = Math.round(bar * .3), failFrom = Math.round(bar * .65);
    for (let y = 0; y < bar; y++) {
      const row = (y0 + y) * width;
      for (let x = 0; x < width; x++) {
        const done = reads[x] || writes[x];
        if (marks[x] === FAIL && (y >= failFrom || !done)) image.words[row + x] = fail;
        else if (marks[x] === INFO && !done) { if ((x + y & 3) < 2) image.words[row + x] = info; }
        else if (writes[x] && (y < readFrom || !reads[x])) image.words[row + x] = writeColours[writes[x] - 1];
        else if (reads[x] && y >= readFrom) image.words[row + x] = palette[reads[x] - 1];
      }
    }
  });
  putImage(context, image, GUTTER, top, view.plot(), height);
}

function fillRow(app, i, width, reads, writes, marks, ordered) {
  const { store, view } = app;
  if (!store.mask[i]) return;
  const scale = width / (view.t1 - view.t0), type = app.types[i];
  let from = Math.floor((store.invoked[i] - view.t0) * scale), to = Math.max(from + 1, Math.ceil((store.ends[i] - view.t0) * scale));
  if (to <= 0 || from >= width) return;
  from = Math.max(from, 0);
  to = Math.min(to, width);
  if (type !== OK) { for (let x = from; x < to; x++) if (marks[x] !== FAIL) marks[x] = type; return; }
  const row = store.kind[i] === WRITE_KIND ? writes : reads, class_ = app.classes[i] + 1;
  for (let x = from; x < to; x++) if (!ordered || class_ > row[x]) row[x] = class_;
}

// An off-screen image, kept between frames. words: one 32-bit word a pixel.
function imageFor(app, name, width, height) {
  const images = app.images ??= {};
  let image = images[name];
  if (!image || image.canvas.width !== width || image.canvas.height !== height) {
    const canvas = document.createElement('canvas');
    canvas.width = Math.max(1, width);
    canvas.height = Math.max(1, height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const data = context.createImageData(canvas.width, canvas.height);
    image = images[name] = { canvas, context, data, words: new Uint32Array(data.data.buffer) };
  }
  image.words.fill(0);
  return image;
}

function putImage(context, image, x, y, width, height) {
  image.context.putImageData(image.data, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(image.canvas, x, y, width, height);
}

function drawShapes(app, context, ranges) {
  app.store.lanes.forEach((list, lane) => {
    for (let at = ranges[lane][0]; at < ranges[lane][1]; at++) if (app.store.mask[list[at]]) drawShape(app, context, list[at]);
  });
}

// Where an operation's bar is: {x, y, width, height}.
function boxOf(app, i) {
  const { store, view } = app, x = view.x(store.invoked[i]), lane = store.column('lane')[i], full = Math.max(2, app.laneHeight - 3);
  const taller = store.kind[i] === WRITE_KIND || app.types[i] !== OK, height = taller ? full : full * .7;
  return { x, y: app.tracks.lanes.top + lane * app.laneHeight + full - height, width: Math.max(3, view.x(store.ends[i]) - x), height };
}

function drawShape(app, context, i) {
  const { theme, store } = app, box = boxOf(app, i), type = app.types[i];
  if (box.x + box.width < GUTTER || box.x > app.view.width) return;
  const colour = theme.palettes[app.mode][app.classes[i]];
  if (type === OK && box.width < 6) { // too narrow for round corners, and far cheaper without
    context.fillStyle = colour;
    context.fillRect(box.x, box.y, box.width, box.height);
    return;
  }
  context.beginPath();
  context.roundRect(box.x, box.y, box.width, box.height, Math.min(3, box.width / 2));
  if (type === OK) {
    context.fillStyle = colour;
    context.fill();
  } else {
    context.fillStyle = type === FAIL ? theme.fail + '30' : theme.info + '24';
    context.fill();
    context.strokeStyle = type === FAIL ? theme.fail : theme.info;
    context.lineWidth = 1.5;
    context.setLineDash(type === INFO ? [4, 3] : []);
    context.stroke();
    context.setLineDash([]);
    if (type === FAIL && box.width > 9) cross(context, box, theme.fail);
  }
  const from = Math.max(box.x, GUTTER) + 5 + (type === FAIL ? 11 : 0), room = Math.min(box.x + box.width, app.view.width) - from - 4;
  if (room < 22 || box.height < 10) return;
  const ink = type !== OK ? theme.ink : luminance(colour) > .42 ? '#10151c' : '#ffffff';
  label(context, shortWords(app, i), from, box.y + box.height / 2 + .5, { size: 11, colour: ink, room }, app);
}

function cross(context, { x, y, height }, colour) {
  const middle = y + height / 2, size = Math.min(3, height / 3);
  context.strokeStyle = colour;
  context.beginPath();
  context.moveTo(x + 7 - size, middle - size);
  context.lineTo(x + 7 + size, middle + size);
  context.moveTo(x + 7 + size, middle - size);
  context.lineTo(x + 7 - size, middle + size);
  context.stroke();
}

function luminance(hex) {
  const [r, g, b] = rgb(hex).map((v) => (v / 255) ** 2.2);
  return .2126 * r + .7152 * g + .0722 * b;
}
