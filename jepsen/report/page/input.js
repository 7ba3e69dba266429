// What people do: pointer, wheel, keys, filters, search.

function listen(app) {
  listenToTracks(app);
  listenToOverview(app);
  listenToControls(app);
  document.addEventListener('keydown', (event) => onKey(app, event));
  new ResizeObserver(() => app.resize()).observe(document.querySelector('.drawing'));
  const repaint = () => { app.theme = makeTheme(); showLegend(app); showMoment(app, app.time); app.changed(); };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
  const forPaper = (on) => { document.documentElement.dataset.theme = on ? 'print' : ''; app.theme = makeTheme(); showLegend(app); draw(app); };
  addEventListener('beforeprint', () => forPaper(true));
  addEventListener('afterprint', () => forPaper(false));
}

function listenToTracks(app) {
  const tracks = byId('tracks');
  let drag = null;
  const point = (event) => { const box = tracks.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  tracks.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    const [x] = point(event);
    drag = { x, t0: app.view.t0, t1: app.view.t1, moved: false };
    tracks.setPointerCapture(event.pointerId);
  });
  tracks.addEventListener('pointermove', (event) => {
    const [x, y] = point(event);
    if (drag && (drag.moved ||= Math.abs(x - drag.x) > 4)) {
      const shift = (drag.x - x) * (drag.t1 - drag.t0) / app.view.plot();
      tracks.classList.add('moving');
      app.view.show(drag.t0 + shift, drag.t1 + shift);
      app.changed();
    }
    if (!drag?.moved) hover(app, x, y);
  });
  tracks.addEventListener('pointerup', (event) => {
    const [x, y] = point(event);
    if (drag && !drag.moved) pin(app, operationAt(app, x, y));
    drag = null;
    tracks.classList.remove('moving');
  });
  tracks.addEventListener('pointercancel', () => { drag = null; tracks.classList.remove('moving'); });
  tracks.addEventListener('pointerleave', () => { if (!drag) leave(app); });
  tracks.addEventListener('dblclick', (event) => { app.view.zoom(.35, app.view.t(point(event)[0])); app.changed(); });
  tracks.addEventListener('wheel', (event) => {
    const [x] = point(event), unit = event.deltaMode === 1 ? 16 : 1;
    if (event.ctrlKey || event.metaKey || event.altKey) app.view.zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY * unit)) * .004), app.view.t(Math.max(x, GUTTER)));
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) slide(app, (event.deltaX || event.deltaY) * unit * app.view.perPixel());
    else return;
    event.preventDefault();
    app.changed();
  }, { passive: false });
}

function slide(app, by) {
  app.view.show(app.view.t0 + by, app.view.t1 + by);
  app.changed();
}

// Drag over the overview shows that part; a click moves the window there.
function listenToOverview(app) {
  const canvas = byId('overview');
  let from = null;
  const time = (event) => {
    const [low, high] = app.view.whole, x = event.clientX - canvas.getBoundingClientRect().left;
    return low + Math.min(1, Math.max(0, (x - GUTTER) / app.view.plot())) * (high - low);
  };
  canvas.addEventListener('pointerdown', (event) => { from = time(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener('pointermove', (event) => {
    if (from === null) return;
    const to = time(event), size = app.view.whole[1] - app.view.whole[0];
    if (Math.abs(to - from) < size * .004) return;
    app.view.show(Math.min(from, to), Math.max(from, to));
    app.changed();
  });
  canvas.addEventListener('pointerup', (event) => {
    const to = time(event), size = app.view.t1 - app.view.t0;
    if (from !== null && Math.abs(to - from) < (app.view.whole[1] - app.view.whole[0]) * .004) app.view.show(to - size / 2, to + size / 2);
    from = null;
    app.changed();
  });
}

function listenToControls(app) {
  const fill = (id, names) => byId(id).replaceChildren(el('option', { value: '', text: 'all' }), ...names.map(([value, text]) => el('option', { value, text })));
  fill('by-level', [...LEVELS.map((level, i) => [i, level]), [WRITE_KIND, 'writes']]);
  fill('by-node', Array.from({ length: app.meta.nodes }, (_, i) => [i + 1, i + 1]));
  fill('by-key', app.meta.tables.key.slice(0, 2000).map((key, i) => [i, key.slice(0, 60)]).sort((a, b) => a[1].localeCompare(b[1], 'en', { numeric: true })));
  fill('by-lane', app.store.lanes.map((_, i) => [i, i]));
  fill('by-type', [[OK, 'ok'], [FAIL, 'fail'], [INFO, 'info']]);
  for (const id of FILTERS) byId(id).addEventListener('change', () => filter(app));
  byId('clear').addEventListener('click', () => { for (const id of FILTERS) byId(id).value = ''; filter(app); });
  byId('colour').addEventListener('change', (event) => setMode(app, event.target.value));
  byId('find').addEventListener('submit', (event) => { event.preventDefault(); find(app, byId('search').value.trim()); });
  byId('fit').addEventListener('click', () => fit(app));
  byId('in').addEventListener('click', () => { app.view.zoom(.5, middleOf(app)); app.changed(); });
  byId('out').addEventListener('click', () => { app.view.zoom(2, middleOf(app)); app.changed(); });
  for (const button of document.querySelectorAll('[data-violation]')) {
    button.addEventListener('click', () => { showProof(app, +button.dataset.violation); pin(app, app.pinned); byId('timeline').scrollIntoView({ block: 'start' }); });
  }
  byId('copy')?.addEventListener('click', copyCommand);
  filter(app);
}

const FILTERS = ['by-level', 'by-node', 'by-key', 'by-lane', 'by-type'];
const middleOf = (app) => app.pinned !== ABSENT_ROW && app.store.invoked[app.pinned] > app.view.t0 && app.store.invoked[app.pinned] < app.view.t1 ? app.store.invoked[app.pinned] : (app.view.t0 + app.view.t1) / 2;

function fit(app) {
  app.view.show(...app.view.whole);
  app.changed();
}

function filter(app) {
  const value = (id) => byId(id).value === '' ? undefined : +byId(id).value;
  applyFilter(app.store, { level: value('by-level'), node: value('by-node'), key: value('by-key'), lane: value('by-lane'), type: value('by-type') });
  byId('shown').textContent = app.store.visible === app.store.rows ? `${grouped(app.store.rows)} operations` : `${grouped(app.store.visible)} of ${grouped(app.store.rows)} operations`;
  app.changed();
}

function setMode(app, mode) {
  app.mode = mode;
  app.classes = classesBy(app.store, mode);
  showLegend(app);
  app.changed();
}

// "#812" or "812": that operation; else a key, exact or by its beginning.
function find(app, text) {
  const number = /^#?(\d+)$/.exec(text), keys = app.meta.tables.key, key = Math.max(keys.indexOf(text), -1);
  const row = number && key < 0 ? app.store.position.get(+number[1]) : undefined;
  if (row !== undefined) { goTo(app, row); return; }
  const found = key >= 0 || !text ? key : keys.findIndex((name) => name.startsWith(text));
  if (found < 0 && text) { byId('shown').textContent = `no operation and no key ${text.slice(0, 40)}`; return; }
  byId('by-key').value = found < 0 ? '' : String(found);
  filter(app);
}

async function copyCommand() {
  const code = byId('again');
  try {
    await navigator.clipboard.writeText(code.textContent);
    byId('copy').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(code); // no clipboard on file: in some browsers; then it is one key away
  }
}

function onKey(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const size = app.view.t1 - app.view.t0, onTracks = event.target.id === 'tracks' || event.target === document.body;
  const actions = {
    '+': () => app.view.zoom(.6, middleOf(app)), '=': () => app.view.zoom(.6, middleOf(app)), '-': () => app.view.zoom(1 / .6, middleOf(app)), 0: () => fit(app),
    n: () => step(app, 1), p: () => step(app, -1), v: () => nextViolation(app), '/': () => byId('search').focus(),
    Escape: () => { if (app.proof) hideProof(app); pin(app, ABSENT_ROW); },
  };
  if (onTracks) {
    Object.assign(actions, { ArrowLeft: () => slide(app, -size / 8), ArrowRight: () => slide(app, size / 8), Enter: () => pin(app, app.hovered !== ABSENT_ROW ? app.hovered : app.pinned) });
    if (app.pinned !== ABSENT_ROW && event.target.id === 'tracks') Object.assign(actions, { ArrowUp: () => changeLane(app, -1), ArrowDown: () => changeLane(app, 1) });
  }
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
  app.changed();
}

// The next shown operation of the same client; the first one in view if none is pinned.
function step(app, by) {
  const { store, view } = app;
  if (app.pinned === ABSENT_ROW) {
    const first = store.invoked.findIndex((t, i) => t >= view.t0 && store.mask[i]);
    if (first >= 0) goTo(app, first);
    return;
  }
  const lane = store.lanes[store.column('lane')[app.pinned]];
  for (let at = lowerBound(lane, app.pinned) + by; at >= 0 && at < lane.length; at += by) {
    if (store.mask[lane[at]]) { goTo(app, lane[at]); return; }
  }
}

function changeLane(app, by) {
  const { store } = app, lane = store.column('lane')[app.pinned] + by, i = nearestInLane(store, lane, store.invoked[app.pinned], Infinity);
  if (i !== ABSENT_ROW) goTo(app, i);
}

function nextViolation(app) {
  if (!app.meta.violations.length) return;
  showProof(app, ((app.proof?.number ?? -1) + 1) % app.meta.violations.length);
  pin(app, app.pinned);
}
