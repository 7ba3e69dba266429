// A violation: the operations that prove it, the arrows between them, and the sentence.

function showProof(app, number) {
  const violation = app.meta.violations[number];
  if (!violation) return;
  const found = violation.ops.map((op) => app.store.position.get(op)).filter((i) => i !== undefined);
  found.sort((a, b) => app.store.invoked[a] - app.store.invoked[b]);
  app.proof = { number, rows: found };
  app.pinned = app.store.position.get(violation.ops[0]) ?? ABSENT_ROW;
  const missing = violation.ops.filter((op) => !app.store.position.has(op));
  const close = el('button', { type: 'button', text: 'Close' });
  close.addEventListener('click', () => hideProof(app));
  const gone = missing.length ? ` (Not in the history: ${missing.slice(0, 5).map((op) => '#' + op).join(', ')}.)` : '';
  byId('proof').replaceChildren(el('p', { text: (violation.sentence || violation.checker) + gone }), close);
  byId('proof').hidden = false;
  zoomToProof(app, violation);
  markViolation(number);
  app.changed();
}

function zoomToProof(app, violation) {
  const { rows } = app.proof, { store, view } = app;
  if (!rows.length && violation.at === null) return;
  const from = rows.length ? Math.min(...rows.map((i) => store.invoked[i])) : violation.at;
  const until = rows.length ? Math.max(...rows.map((i) => Math.min(store.ends[i], store.invoked[i] + 10e6))) : violation.at;
  const margin = Math.max((until - from) * .18, 1500);
  view.show(from - margin, until + margin);
}

function hideProof(app) {
  app.proof = null;
  byId('proof').hidden = true;
  markViolation(-1);
  app.changed();
}

function markViolation(number) {
  for (const button of document.querySelectorAll('[data-violation]')) button.setAttribute('aria-pressed', String(+button.dataset.violation === number));
}

function drawProof(app, context) {
  const { theme, view } = app, track = app.tracks.lanes, { rows } = app.proof;
  if (!track) return;
  inPlot(context, view, track.top - 4, track.height + 8, () => {
    context.fillStyle = theme.paper + 'a8';
    context.fillRect(GUTTER, track.top - 4, view.plot(), track.height + 8);
    for (const i of rows) drawShape(app, context, i);
    for (let at = 1; at < rows.length; at++) drawArrow(app, context, rows[at - 1], rows[at]);
  });
  const placed = [];
  rows.slice(0, 30).forEach((i) => drawFlag(app, context, i, placed));
}

function drawArrow(app, context, a, b) {
  const { theme, store } = app, from = boxOf(app, a), to = boxOf(app, b);
  const x0 = from.x + from.width, y0 = from.y + from.height / 2, x1 = to.x, y1 = to.y + to.height / 2, gap = store.invoked[b] - store.ends[a];
  const lift = Math.abs(y1 - y0) < 4 ? 34 : 0, bend = Math.max(24, Math.abs(x1 - x0) * .4);
  context.strokeStyle = theme.bad;
  context.fillStyle = theme.bad;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x0, y0);
  context.bezierCurveTo(x0 + bend, y0 - lift, x1 - bend, y1 - lift, x1 - 7, y1);
  context.stroke();
  context.beginPath();
  context.moveTo(x1 - 1, y1);
  context.lineTo(x1 - 10, y1 - 5);
  context.lineTo(x1 - 10, y1 + 5);
  context.fill();
  if (gap > 0) chip(app, context, `${span(gap)} later`, (x0 + x1) / 2, (y0 + y1) / 2 - lift * .75, theme.bad);
}

// A name beside an operation of the proof, moved down where another one is.
function drawFlag(app, context, i, placed) {
  const box = boxOf(app, i), words = `#${app.store.ops.op[i]} ${shortWords(app, i)}`;
  context.font = app.theme.font(12.5, 600);
  const width = Math.min(context.measureText(words).width + 18, app.view.plot());
  const x = Math.min(Math.max(box.x + box.width / 2, GUTTER + width / 2 + 2), app.view.width - RIGHT - width / 2 - 2);
  let y = box.y - 16;
  while (placed.some((p) => Math.abs(p.y - y) < 25 && Math.abs(p.x - x) < (p.width + width) / 2)) y -= 26;
  placed.push({ x, y, width });
  context.strokeStyle = app.theme.ink;
  context.lineWidth = 2;
  context.beginPath();
  context.roundRect(box.x - 2.5, box.y - 2.5, box.width + 5, box.height + 5, 4);
  context.stroke();
  chip(app, context, words, x, y, app.theme.ink);
}

function chip(app, context, text, x, y, colour) {
  context.font = app.theme.font(12.5, 600);
  const shown = fitText(context, text, app.view.plot() - 30), width = context.measureText(shown).width + 16;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x - width / 2, y - 11, width, 22, 11);
  context.fill();
  label(context, shown, x, y + .5, { size: 12.5, weight: 600, colour: app.theme.paper, align: 'center' }, app);
}
