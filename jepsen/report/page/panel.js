// The panel at the right: the moment under the pointer, and one operation with its certificate, in words and in full.

const BASIS_WORDS = { read_index: 'proved by asking a majority', lease: 'proved by the leader’s lease', anchor: 'proved by an anchor', none: 'not proved', commit: 'committed by a majority' };
const LINK_GLYPHS = { ok: '●', cut: '✕', slow: '~', lossy: '⋮', blackhole: '■' };

function textOf(app, column, i, table = 'text') {
  const number = app.store.column(column)[i];
  return number < 0 ? null : app.meta.tables[table][number];
}

// "k3 = v812", "k3 → v7", "transfer k1 [..]".
function shortWords(app, i) {
  const f = textOf(app, 'f', i, 'f') ?? '?', key = textOf(app, 'key', i, 'key') ?? '', value = textOf(app, 'value', i), result = textOf(app, 'result', i);
  if (f === 'read') return app.types[i] === OK ? `${key} → ${result === 'null' || result === null ? 'nothing' : result}` : `${key} ${textOf(app, 'code', i, 'code') ?? 'no answer'}`;
  if (f === 'write') return `${key} = ${value ?? ''}`;
  return [f, key, value].filter((part) => part !== null && part !== '').join(' ');
}

function headline(app, i) {
  const f = textOf(app, 'f', i, 'f') ?? '?', level = textOf(app, 'level', i, 'level');
  return `#${app.store.ops.op[i]} ${level ? level + ' ' : ''}${f}${textOf(app, 'key', i, 'key') ? ' of ' + textOf(app, 'key', i, 'key') : ''}`;
}

// Sentences; `lie`: the last of them says that the claim was broken.
function operationWords(app, i) {
  const { store } = app, get = (name) => store.column(name)[i], f = textOf(app, 'f', i, 'f'), said = [];
  if (app.types[i] === OK && f === 'read') {
    const result = textOf(app, 'result', i);
    said.push(result === null || result === 'null' ? 'Found nothing' : `Found ${result}`);
    if (get('c_index') >= 0) said.push(certificateWords(app, i));
  } else if (app.types[i] === OK) {
    said.push(get('revision') >= 0 ? `Done: entry ${grouped(get('revision'))} of the log${get('c_term') >= 0 ? `, term ${get('c_term')}` : ''}` : 'Done');
  } else said.push(errorWords(app, i));
  const claim = get('c_age_us'), measured = get('measured');
  return { words: said.join(': '), lie: claim >= 0 && measured > claim && !(get('c_lag') > 0) ? `Older than it claimed, by ${span(measured - claim)}.` : '' };
}

// "state at index 1,093, term 7; at most 118 ms old, proved by an anchor; measured: 40 ms"
function certificateWords(app, i) {
  const get = (name) => app.store.column(name)[i], basis = textOf(app, 'c_basis', i, 'c_basis');
  let said = `state at index ${grouped(get('c_index'))}${get('c_term') >= 0 ? `, term ${get('c_term')}` : ''}`;
  if (get('c_age_us') >= 0) said += get('c_age_us') === 0 ? '; nothing older than the question' : `; at most ${span(get('c_age_us'))} old`;
  if (get('c_lag') > 0) said += `, but for ${grouped(get('c_lag'))} entries`;
  if (basis) said += `, ${BASIS_WORDS[basis] ?? basis}`;
  if (get('measured') >= 0) said += `; measured: ${get('measured') === 0 ? 'not late at all' : span(get('measured'))}`;
  return said;
}

function errorOf(app, i) {
  const text = textOf(app, 'error', i);
  if (text === null) return {};
  const [class_, detail, have, want, age, because] = JSON.parse(text);
  return { class: class_, detail, have, want, age, because };
}

function errorWords(app, i) {
  const error = errorOf(app, i), code = textOf(app, 'code', i, 'code');
  const fate = app.types[i] === FAIL ? 'Certainly not executed' : textOf(app, 'f', i, 'f') === 'read' ? 'No answer came' : 'Unknown: it may have taken effect, or still do so';
  return `${fate}${code ? ` (${code})` : ''}${error.detail ? ': ' + error.detail : ''}`;
}

function showTip(app, x, y, i) {
  const tip = byId('tip');
  if (i === ABSENT_ROW) { tip.hidden = true; return; }
  const { words, lie } = operationWords(app, i);
  tip.replaceChildren(el('b', { text: headline(app, i) }), `${words}. `, ...(lie ? [el('strong', { text: lie })] : []));
  tip.hidden = false;
  const width = tip.offsetWidth, height = tip.offsetHeight;
  tip.style.transform = `translate(${Math.round(Math.max(0, Math.min(x + 14, app.view.width - width - 4)))}px, ${Math.round(y + 18 + height > app.height ? y - height - 12 : y + 18)}px)`;
}

function showMoment(app, time) {
  app.time = time;
  byId('moment').textContent = `At ${moment(Math.max(0, time), app.view.perPixel() * 2)}`;
  const { nodes } = app.meta, state = linksAt(app.meta, time), key = [...state.values()].join() + nodes;
  if (key !== app.matrixKey) { app.matrixKey = key; byId('matrix').replaceChildren(...(state.size ? [matrixOf(nodes, state)] : [])); }
  byId('members').replaceChildren(membersOf(app, time));
}

function matrixOf(nodes, state) {
  const size = Math.min(nodes, 9), all = Array.from({ length: size }, (_, i) => i + 1);
  const head = el('tr', {}, el('th', { text: 'from \\ to', scope: 'col' }), ...all.map((to) => el('th', { text: to, scope: 'col' })));
  const rows = all.map((from) => el('tr', {}, el('th', { text: from, scope: 'row' }), ...all.map((to) => {
    if (from === to) return el('td', { class: 'self', text: '·' });
    const what = state.get(`${from}>${to}`) ?? 'ok';
    return el('td', { class: what, text: LINK_GLYPHS[what], title: `${from} to ${to}: ${what}`, 'aria-label': what });
  })));
  const used = [...new Set(state.values())].map((what) => `${LINK_GLYPHS[what]} ${what}`).join('  ');
  return el('table', {}, el('caption', { text: `Links  ${used}` }), head, ...rows);
}

function membersOf(app, time) {
  const rows = app.store.samples.flatMap((node, n) => {
    const at = sampleAt(node, time), dot = el('span', { class: 'dot' });
    dot.style.background = app.theme.nodes[n % 8];
    const name = el('td', {}, dot, `node ${n + 1}`);
    if (at < 0) return [el('tr', {}, name, el('td', { text: '–' }))];
    const facts = [node.applied[at] >= 0 ? `at ${grouped(node.applied[at])}` : '', node.behind[at] > 0 ? `${grouped(node.behind[at])} behind` : '', node.age[at] >= 0 ? `≤ ${span(node.age[at])} old` : ''];
    const state = `${node.role[at]}${node.term[at] >= 0 ? `, term ${node.term[at]}` : ''}`;
    return [el('tr', {}, name, el('td', { text: state })), el('tr', {}, el('td'), el('td', { class: 'facts', text: facts.filter(Boolean).join(' · ') }))];
  });
  return el('table', { 'aria-label': 'Nodes' }, ...rows);
}

function showOperation(app, i) {
  const section = byId('operation');
  if (i === ABSENT_ROW) { section.replaceChildren(); return; }
  const { words, lie } = operationWords(app, i), pinned = i === app.pinned;
  const parts = [el('h3', { text: headline(app, i) }), el('small', { text: `${pinned ? 'pinned · ' : ''}client ${app.store.column('client')[i]} · ${['ok', 'refused or failed', 'unknown outcome'][app.types[i]]}` }),
    el('p', { class: 'words', text: words + '.' })];
  if (lie) parts.push(el('p', { class: 'words lie', text: lie }));
  parts.push(list(askedFor(app, i)));
  const certificate = certificateRows(app, i), error = errorRows(app, i);
  if (certificate.length) parts.push(el('h4', { text: 'Certificate' }), list(certificate));
  if (error.length) parts.push(el('h4', { text: 'Error' }), list(error));
  section.replaceChildren(...parts);
}

function list(rows) {
  return el('dl', {}, ...rows.flatMap(([name, value]) => [el('dt', { text: name }), el('dd', { text: value })]));
}

const present = (rows) => rows.filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== -1);

function askedFor(app, i) {
  const get = (name) => app.store.column(name)[i], returned = get('returned');
  const time = (value) => value >= 0 ? span(value) : null;
  return present([['began', moment(app.store.invoked[i], 10)], ['took', returned >= 0 ? span(returned - app.store.invoked[i]) : 'no answer'], ['value', textOf(app, 'value', i)], ['result', textOf(app, 'result', i)],
    ['revision', get('revision')], ['age at most', time(get('max_age_us'))], ['lag at most', get('max_lag')], ['index at least', get('min_index')], ['if unmet', textOf(app, 'on_unmet', i, 'on_unmet')],
    ['node asked', get('node')], ['session', textOf(app, 'session', i)], ['sequence', get('seq')], ['attempts', get('attempts')]]);
}

function certificateRows(app, i) {
  const get = (name) => app.store.column(name)[i], time = (value) => value >= 0 ? span(value) : null, via = get('c_via_leader');
  const rows = present([['node', get('c_node')], ['term', get('c_term')], ['index', get('c_index')], ['entry’s term', get('c_entry_term')], ['incarnation', textOf(app, 'c_incarnation', i)], ['age at most', time(get('c_age_us'))],
    ['lag', get('c_lag')], ['basis', textOf(app, 'c_basis', i, 'c_basis')], ['fresh index', get('c_fresh_index')], ['waited', time(get('c_waited_us'))], ['path', via < 0 ? null : via ? 'via the leader' : 'local']]);
  return rows.length && get('measured') >= 0 ? [...rows, ['measured age', span(get('measured'))]] : rows;
}

function errorRows(app, i) {
  const error = errorOf(app, i), code = textOf(app, 'code', i, 'code');
  return present([['code', code], ['class', error.class], ['detail', error.detail], ['have', error.have], ['want', error.want], ['age', error.age >= 0 && error.age !== null ? span(error.age) : null], ['because', error.because]]);
}
