// Above the clients: faults, links, and what the nodes said of themselves.

// Faults in as few rows as they fit in without overlap: [[fault, ..], ..].
function rowsOfFaults(meta) {
  const rows = [];
  for (const fault of meta.faults) {
    const until = fault.until ?? meta.end;
    const row = rows.find((r) => r.until <= fault.at);
    if (row) { row.push(fault); row.until = until; } else if (rows.length < 12) { const fresh = [fault]; fresh.until = until; rows.push(fresh); } else rows[11].push(fault);
  }
  return rows;
}

function linkNamesOf(meta) {
  const names = new Set();
  for (const [, changes] of meta.links) for (const [from, to] of changes) names.add(`${from}>${to}`);
  return [...names].sort((a, b) => parseInt(a) - parseInt(b) || parseInt(a.split('>')[1]) - parseInt(b.split('>')[1])).slice(0, 60);
}

// Per link: stretches that are not ok, [[at, until, state], ..].
function linkStretches(meta, names) {
  const open = new Map(), found = new Map(names.map((name) => [name, []]));
  for (const [at, changes] of meta.links) {
    for (const [from, to, what] of changes) {
      const name = `${from}>${to}`, state = meta.linkStates[what], now = open.get(name);
      if (now && now[2] === state) continue;
      if (now) now[1] = at;
      open.delete(name);
      if (state === 'ok' || !found.has(name)) continue;
      const stretch = [at, meta.end, state];
      found.get(name).push(stretch);
      open.set(name, stretch);
    }
  }
  return found;
}

function drawFaultBands(app, context) {
  const { view, theme, meta } = app;
  inPlot(context, view, 0, app.height, () => {
    for (const fault of meta.faults) {
      const x = view.x(fault.at), width = Math.max(1, view.x(fault.until ?? meta.end) - x), colour = faultColour(theme, fault.fault);
      context.fillStyle = colour + '1a';
      context.fillRect(x, 0, width, app.height);
      context.fillStyle = colour + '80';
      context.fillRect(x, 0, 1, app.height);
      context.fillRect(x + width - 1, 0, 1, app.height);
    }
  });
}

function drawFaults(app, context) {
  const { view, theme, meta } = app, { top, height } = app.tracks.faults;
  label(context, 'faults', GUTTER - 10, top + 10, { colour: theme.soft, align: 'right' }, app);
  inPlot(context, view, top, height, () => app.faultRows.forEach((row, r) => {
    row.forEach((fault, at) => {
      const next = at + 1 < row.length ? view.x(row[at + 1].at) - 6 : Infinity;
      const x = view.x(fault.at), end = view.x(fault.until ?? meta.end), width = Math.max(3, end - x), colour = faultColour(theme, fault.fault);
      if (end < GUTTER || x > view.width) return;
      context.fillStyle = mix(colour, theme.paper, .55);
      context.beginPath();
      context.roundRect(x, top + r * 22, width, 19, 4);
      context.fill();
      context.fillStyle = colour;
      context.fillRect(x, top + r * 22, 3, 19);
      const from = Math.max(x, GUTTER) + 9;
      label(context, faultWords(app, fault, Math.min(next, view.width - RIGHT) - from), from, top + r * 22 + 10, { weight: 600, room: Math.min(next, view.width - RIGHT) - from - 4 }, app);
    });
  }));
}

// With its detail only where that fits.
function faultWords(app, fault, room) {
  const words = `${fault.fault} · ${fault.detail}`;
  return fault.detail && words.length * 7 < room ? words : fault.fault;
}

const linkColour = (theme, state) => ({ cut: theme.bad, blackhole: theme.ink, slow: mix(theme.colour('network'), theme.paper, .25), lossy: theme.colour('process') })[state];

function drawLinks(app, context) {
  const { view, theme, linkNames } = app, { top, height } = app.tracks.links, tall = height / linkNames.length;
  label(context, 'links', GUTTER - 10, top + 7, { colour: theme.soft, align: 'right' }, app);
  let from = '';
  linkNames.forEach((name, i) => {
    const sender = name.split('>')[0];
    if (sender !== from && (tall * linkNames.filter((n) => n.startsWith(sender + '>')).length) >= 12 && i) label(context, `from ${sender}`, GUTTER - 10, top + i * tall + 5, { size: 11, colour: theme.soft, align: 'right' }, app);
    from = sender;
  });
  inPlot(context, view, top, height, () => linkNames.forEach((name, i) => {
    const y = top + i * tall;
    context.fillStyle = mix(theme.good, theme.paper, .72);
    context.fillRect(view.x(0), y + tall / 2 - .5, view.x(app.meta.end) - view.x(0), 1);
    for (const [at, until, state] of app.linkStretches.get(name)) {
      context.fillStyle = linkColour(theme, state);
      const thin = state === 'slow' || state === 'lossy' ? Math.max(1.5, tall * .4) : tall - 1.5;
      context.fillRect(view.x(at), y + (tall - thin) / 2, Math.max(1.5, view.x(until) - view.x(at)), thin);
    }
  }));
}

function drawNodes(app, context) {
  const { view, theme } = app, { top, height } = app.tracks.nodes, tall = 24;
  app.store.samples.forEach((node, n) => {
    const y = top + n * tall;
    context.fillStyle = theme.nodes[n % 8];
    context.beginPath();
    context.arc(GUTTER - 64, y + 10, 4, 0, 7);
    context.fill();
    label(context, `node ${n + 1}`, GUTTER - 10, y + 10, { align: 'right' }, app);
    inPlot(context, view, top, height, () => {
      for (const stretch of node.stretches) drawStretch(app, context, stretch, y, tall - 4);
    });
  });
}

function drawStretch(app, context, { at, until, role, term }, y, tall) {
  const { view, theme } = app, x = view.x(at), width = Math.max(1, view.x(until) - x);
  if (x + width < GUTTER || x > view.width) return;
  const fill = { leader: theme.leader, follower: theme.follower, candidate: theme.candidate, learner: theme.follower }[role] ?? theme.gone;
  context.fillStyle = fill;
  context.fillRect(x, role === 'follower' || role === 'learner' ? y + 4 : y, Math.max(width - 1, 1), role === 'follower' || role === 'learner' ? tall - 8 : tall);
  if (role === 'paused') hatch(context, x, y, width, tall, theme.soft);
  if (role === 'down') {
    context.strokeStyle = theme.bad;
    context.lineWidth = 1.5;
    context.strokeRect(x + .75, y + .75, width - 2.5, tall - 1.5);
  }
  const words = role === 'follower' ? `term ${term}` : `${role}${term >= 0 ? ` · term ${term}` : ''}`;
  const from = Math.max(x, GUTTER) + 7, room = Math.min(x + width, view.width - RIGHT) - from - 4;
  context.font = theme.font(12, 600);
  const shown = fitText(context, words, room);
  if (!shown) return;
  if (role === 'paused' || role === 'down') {
    context.fillStyle = theme.paper;
    context.fillRect(from - 4, y + 3, context.measureText(shown).width + 8, tall - 6);
  }
  const colour = { leader: theme.colour('role-ink'), follower: theme.soft, candidate: theme.ink }[role] ?? theme.ink;
  label(context, shown, from, y + tall / 2 + .5, { weight: role === 'follower' ? 400 : 600, size: role === 'follower' ? 11 : 12, colour }, app);
}

// A line for each node: how many entries behind the newest commit, or how old its state may be.
function drawNodeLines(app, context, track, name, title, field, scale, ticks) {
  const { view, theme } = app, { top, height } = track;
  label(context, name, GUTTER - 10, top + 8, { colour: theme.soft, align: 'right' }, app);
  label(context, title, GUTTER - 10, top + 23, { colour: theme.soft, size: 11, align: 'right' }, app);
  for (const [value, text] of ticks) {
    const y = top + height - scale(value) * height;
    context.fillStyle = theme.line;
    context.fillRect(GUTTER, Math.round(y), view.plot(), 1);
    label(context, text, view.width, y, { size: 11, colour: theme.soft, align: 'right' }, app);
  }
  inPlot(context, view, top - 2, height + 4, () => app.store.samples.forEach((node, n) => {
    context.strokeStyle = theme.nodes[n % 8];
    context.lineWidth = 1.5;
    context.beginPath();
    const first = Math.max(0, lowerBound(node.at, view.t0) - 1), last = Math.min(node.at.length, lowerBound(node.at, view.t1) + 1);
    const every = Math.max(1, Math.floor((last - first) / (view.plot() / 2)));
    let drawing = false;
    for (let i = first; i < last; i += every) {
      let value = -1;
      for (let j = i; j < Math.min(i + every, last); j++) value = Math.max(value, node[field][j]);
      if (value < 0) { drawing = false; continue; }
      const x = view.x(node.at[i]), y = top + height - Math.min(1, scale(value)) * height;
      if (drawing) context.lineTo(x, y); else context.moveTo(x, y);
      drawing = true;
    }
    context.stroke();
  }));
}

function drawBehind(app, context) {
  const most = app.mostBehind ??= Math.max(10, ...app.store.samples.map((n) => n.behind.reduce((a, b) => Math.max(a, b), 0)));
  const scale = (value) => Math.log10(1 + value) / Math.log10(1 + most);
  drawNodeLines(app, context, app.tracks.behind, 'behind', 'entries', 'behind', scale, [[most, grouped(most)], [0, '0']]);
}

function drawAge(app, context) {
  const decades = app.ageDecades ??= Math.ceil(Math.log10(Math.max(100_000, ...app.store.samples.map((n) => n.age.reduce((a, b) => Math.max(a, b), 0))) / 1000));
  const scale = (us) => Math.max(0, Math.log10(Math.max(us, 1) / 1000) / decades);
  const ticks = Array.from({ length: decades + 1 }, (_, i) => [1000 * 10 ** i, span(1000 * 10 ** i)]).filter((_, i) => i % Math.ceil((decades + 1) / 4) === 0);
  drawNodeLines(app, context, app.tracks.age, 'own age', 'at most', 'age', scale, ticks);
}
