// report.html#selftest measures drawing, zoom, pan, hover and filters on the real data, and writes what it found into the page.

async function selfTest(app, packed, firstDrawn) {
  const found = { operations: app.store.rows, firstDrawn, zoom: [], pan: [], hover: [], filter: [], proof: [] };
  const timed = (row, action) => { const begin = performance.now(); action(); finish(); row.push(performance.now() - begin); };
  for (let i = 0; i < 24; i++) timed(found.zoom, () => { app.view.zoom(i < 12 ? .5 : 2, app.store.end * .37); draw(app); });
  app.view.show(0, app.store.end / 3);
  for (let i = 0; i < 12; i++) timed(found.pan, () => { app.view.show(app.view.t0 + app.store.end / 20, app.view.t1 + app.store.end / 20); draw(app); });
  app.view.show(...app.view.whole);
  draw(app);
  for (let i = 0; i < 60; i++) timed(found.hover, () => hover(app, GUTTER + (i * 37 % 97) / 97 * app.view.plot(), app.height * (i * 53 % 89) / 89));
  found.hovered = hoverableOperations(app);
  leave(app);
  for (const mode of ['measured', 'node', 'outcome', 'level']) timed(found.filter, () => { setMode(app, mode); draw(app); });
  app.meta.violations.slice(0, 3).forEach((_, i) => timed(found.proof, () => { showProof(app, i); draw(app); }));
  if (app.proof) hideProof(app);
  const small = packed.length < 4_000_000 ? await sameByHand(packed) : null;
  const result = { ...found, inflatedByHandTheSame: small, drawn: drawnColours() };
  for (const name of ['zoom', 'pan', 'hover', 'filter', 'proof']) result[name] = summary(found[name]);
  fit(app);
  document.body.append(el('pre', { id: 'selftest', text: JSON.stringify(result), hidden: '' }));
}

const summary = (row) => ({ median: row.sort((a, b) => a - b)[row.length >> 1] ?? 0, worst: Math.max(0, ...row) });

// Reading a pixel makes the browser do the drawing now, so that it is in the time.
function finish() {
  for (const id of ['base', 'over']) byId(id).getContext('2d').getImageData(0, 0, 1, 1);
}

// How many of some operations are found under their own bars.
function hoverableOperations(app) {
  let found = 0;
  const lanes = app.tracks.lanes;
  for (let n = 0; lanes && n < 50; n++) {
    const i = Math.floor(n / 50 * app.store.rows), box = boxOf(app, i);
    if (operationAt(app, box.x + 1, box.y + box.height / 2) !== ABSENT_ROW) found++;
  }
  return found;
}

async function sameByHand(packed) {
  const bytes = bytesOf(packed), [a, b] = [await inflate(bytes), inflateByHand(bytes)];
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

// How many different colours the timeline has: a blank page has few.
function drawnColours() {
  const canvas = byId('base'), { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}
