// Puts the drawings together: what changes with the view, and the light layer above it that follows the pointer.

function makeApp(meta, tables) {
  const store = makeStore(meta, tables);
  const app = { meta, store, types: store.column('type'), mode: 'level', hovered: ABSENT_ROW, pinned: ABSENT_ROW, proof: null, pointer: null, frame: 0 };
  app.view = makeView(store.end);
  app.theme = makeTheme();
  app.classes = classesBy(store, app.mode);
  app.faultRows = rowsOfFaults(meta);
  app.linkNames = linkNamesOf(meta);
  app.linkStretches = linkStretches(meta, app.linkNames);
  app.changed = () => { app.frame ||= requestAnimationFrame(() => { app.frame = 0; draw(app); }); };
  app.resize = () => {
    app.view.width = Math.max(320, document.querySelector('.drawing').clientWidth);
    layOut(app);
    app.changed();
  };
  return app;
}

function draw(app) {
  const { view, tracks } = app, context = fitCanvas(byId('base'), view.width, app.height);
  drawOverview(app, byId('overview'));
  drawAxis(app, byId('axis'));
  drawGrid(app, context);
  drawFaultBands(app, context);
  if (tracks.faults) drawFaults(app, context);
  if (tracks.links) drawLinks(app, context);
  if (tracks.nodes) drawNodes(app, context);
  if (tracks.behind) drawBehind(app, context);
  if (tracks.age) drawAge(app, context);
  if (tracks.lanes) {
    const counts = countSteps(app);
    drawLanes(app, context);
    drawLatency(app, context, counts);
    drawRate(app, context, counts);
  }
  if (!app.store.rows) label(context, 'no operations', GUTTER + 12, app.height - 16, { colour: app.theme.soft }, app);
  drawOver(app);
}

function drawOver(app) {
  const context = fitCanvas(byId('over'), app.view.width, app.height), { theme, view } = app;
  if (app.proof) drawProof(app, context);
  if (app.pointer) {
    context.fillStyle = theme.ink + '70';
    context.fillRect(Math.round(app.pointer.x), 0, 1, app.height);
  }
  if (!app.tracks.lanes) return;
  for (const [i, colour] of [[app.hovered, theme.ink], [app.pinned, theme.accent]]) {
    if (i === ABSENT_ROW || app.proof?.rows.includes(i)) continue;
    const box = boxOf(app, i);
    if (box.x + box.width < GUTTER || box.x > view.width) continue;
    inPlot(context, view, app.tracks.lanes.top - 6, app.tracks.lanes.height + 12, () => {
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.strokeRect(box.x - 2, box.y - 2, box.width + 4, box.height + 4);
    });
    pointInLatency(app, context, i, colour);
  }
}

function pointInLatency(app, context, i, colour) {
  const { top, height } = app.tracks.latency, x = app.view.x(app.store.invoked[i]);
  if (x < GUTTER) return;
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, top + height - latencyShare(app.store.ends[i] - app.store.invoked[i]) * height, 4.5, 0, 7);
  context.fill();
}

// The operation under a point of the tracks, or ABSENT_ROW.
function operationAt(app, x, y) {
  const { lanes, latency } = app.tracks, time = app.view.t(x);
  if (!lanes || x < GUTTER) return ABSENT_ROW;
  if (y >= lanes.top && y < lanes.top + lanes.height) return nearestInLane(app.store, Math.floor((y - lanes.top) / app.laneHeight), time, app.view.perPixel() * 6);
  if (y >= latency.top && y < latency.top + latency.height) return nearestPoint(app, x, y);
  return ABSENT_ROW;
}

function nearestPoint(app, x, y) {
  const { store, view, tracks: { latency } } = app;
  const from = lowerBound(store.invoked, view.t(x - 6)), to = Math.min(lowerBound(store.invoked, view.t(x + 6)), from + 20_000);
  let best = ABSENT_ROW, distance = 64;
  for (let i = from; i < to; i++) {
    if (!store.mask[i]) continue;
    const dx = view.x(store.invoked[i]) - x, dy = latency.top + latency.height * (1 - latencyShare(store.ends[i] - store.invoked[i])) - y;
    if (dx * dx + dy * dy < distance) { best = i; distance = dx * dx + dy * dy; }
  }
  return best;
}

function hover(app, x, y) {
  app.pointer = x >= GUTTER ? { x, y } : null;
  app.hovered = operationAt(app, x, y);
  if (app.pointer) showMoment(app, app.view.t(x));
  showTip(app, x, y, app.hovered);
  showOperation(app, app.pinned !== ABSENT_ROW ? app.pinned : app.hovered);
  drawOver(app);
}

function leave(app) {
  app.pointer = null;
  app.hovered = ABSENT_ROW;
  byId('tip').hidden = true;
  showOperation(app, app.pinned);
  drawOver(app);
}

function pin(app, i) {
  app.pinned = i;
  showOperation(app, i);
  if (i !== ABSENT_ROW) showMoment(app, app.store.invoked[i]);
  drawOver(app);
}

// Brings an operation into view, near enough to see it, and pins it.
function goTo(app, i) {
  const { store, view } = app, length = Math.min(store.ends[i] - store.invoked[i], 2e6), size = Math.min(view.t1 - view.t0, Math.max(length * 12, 20_000));
  const middle = store.invoked[i] + length / 2;
  if (size < view.t1 - view.t0 || middle < view.t0 || middle > view.t1) view.show(middle - size / 2, middle + size / 2);
  pin(app, i);
  app.changed();
}
