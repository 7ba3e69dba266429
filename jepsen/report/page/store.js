// The operations and what one may ask about them.

const OK = 0, FAIL = 1, INFO = 2, READ = 0;
const LEVELS = ['strong', 'bounded', 'session', 'eventual'];
const WRITE_KIND = 4, OTHER_KIND = 5; // kinds 0..3 are reads of LEVELS
const AGE_STEPS = [1, 5_000, 20_000, 100_000, 300_000, 1_000_000]; // us: the ramp's edges
const ABSENT_ROW = -1;

function makeStore(meta, tables) {
  const ops = tables.ops, rows = ops.rows;
  const absent = new Int8Array(rows).fill(-1);
  const column = (name) => ops[name] ?? absent;
  const store = { meta, ops, rows, column, tables: meta.tables, end: Math.max(meta.end, 1), lanes: laneLists(column('lane'), rows, meta.lanes) };
  store.invoked = ops.invoked ?? new Float64Array(0);
  store.ends = endsOf(store);
  store.kind = kindsOf(store);
  store.position = new Map();
  for (let i = 0; i < rows; i++) store.position.set(ops.op[i], i);
  store.mask = new Uint8Array(rows).fill(1);
  store.visible = rows;
  store.nodeOf = Int32Array.from({ length: rows }, (_, i) => column('c_node')[i] >= 0 ? column('c_node')[i] : column('node')[i]);
  store.samples = sampleLists(tables.samples, meta);
  return store;
}

function laneLists(lane, rows, count) {
  const lists = Array.from({ length: count }, () => []);
  for (let i = 0; i < rows; i++) lists[lane[i]]?.push(i);
  return lists.map((list) => Uint32Array.from(list));
}

// Where each operation's bar ends: an operation without an answer reaches to the next one of its lane, or to the end.
function endsOf(store) {
  const returned = store.column('returned'), ends = Float64Array.from(store.invoked, (_, i) => returned[i]);
  for (const list of store.lanes) {
    list.forEach((i, at) => {
      if (ends[i] < 0) ends[i] = at + 1 < list.length ? store.invoked[list[at + 1]] : store.end;
    });
  }
  return ends;
}

function kindsOf(store) {
  const f = store.column('f'), level = store.column('level'), kinds = new Uint8Array(store.rows);
  for (let i = 0; i < store.rows; i++) kinds[i] = f[i] !== READ ? WRITE_KIND : level[i] >= 0 && level[i] < 4 ? level[i] : OTHER_KIND;
  return kinds;
}

// The colour class of each operation. Classes are positions in theme.js's palettes.
function classesBy(store, mode) {
  if (mode === 'level') return store.kind;
  const classes = new Uint8Array(store.rows), measured = store.column('measured'), type = store.column('type');
  for (let i = 0; i < store.rows; i++) {
    if (mode === 'outcome') classes[i] = type[i];
    else if (mode === 'node') classes[i] = store.nodeOf[i] > 0 ? (store.nodeOf[i] - 1) % 8 : 8;
    else classes[i] = store.kind[i] === WRITE_KIND || measured[i] < 0 ? 7 : ageStep(measured[i]);
  }
  return classes;
}

function ageStep(us) {
  let step = 0;
  while (step < AGE_STEPS.length && us >= AGE_STEPS[step]) step++;
  return step;
}

// wanted: {level, node, key, lane, type}, each a number or undefined. Level WRITE_KIND: writes.
function applyFilter(store, wanted) {
  const tests = [[store.kind, wanted.level], [store.nodeOf, wanted.node], [store.column('key'), wanted.key],
    [store.column('lane'), wanted.lane], [store.column('type'), wanted.type]].filter(([, value]) => value !== undefined);
  store.visible = 0;
  for (let i = 0; i < store.rows; i++) {
    store.mask[i] = tests.every(([numbers, value]) => numbers[i] === value) ? 1 : 0;
    store.visible += store.mask[i];
  }
}

// The shown operation of a lane at or nearest to a time, at most `reach` us away; or ABSENT_ROW.
function nearestInLane(store, lane, time, reach) {
  const list = store.lanes[lane];
  if (!list) return ABSENT_ROW;
  const middle = lowerBound(list, time, (at) => store.invoked[list[at]]);
  let best = ABSENT_ROW, distance = reach;
  for (let at = Math.max(0, middle - 40); at < Math.min(list.length, middle + 40); at++) {
    const i = list[at];
    if (!store.mask[i]) continue;
    const away = time < store.invoked[i] ? store.invoked[i] - time : Math.max(0, time - store.ends[i]);
    if (away <= distance) { best = i; distance = away; }
  }
  return best;
}

// Per node: its samples, and stretches of the same role and term.
function sampleLists(samples, meta) {
  const nodes = Array.from({ length: meta.nodes }, () => ({ at: [], applied: [], behind: [], age: [], term: [], role: [], leader: [], stretches: [] }));
  const get = (name, i) => samples[name] ? samples[name][i] : -1;
  let newest = 0;
  for (let i = 0; i < samples.rows; i++) {
    newest = Math.max(newest, get('commit', i));
    const node = nodes[samples.node[i] - 1];
    if (!node) continue;
    const applied = get('applied', i), at = samples.at[i], role = meta.tables.role[samples.role[i]], term = get('term', i);
    node.at.push(at);
    node.applied.push(applied);
    node.behind.push(applied < 0 ? -1 : Math.max(0, newest - applied));
    node.age.push(get('age_us', i));
    node.term.push(term);
    node.role.push(role);
    node.leader.push(get('leader', i));
    const last = node.stretches[node.stretches.length - 1];
    if (last && last.role === role && last.term === term) { last.until = at; continue; }
    if (last) last.until = at;
    node.stretches.push({ at, until: at, role, term });
  }
  for (const { stretches } of nodes) if (stretches.length) stretches[stretches.length - 1].until = Math.max(stretches[stretches.length - 1].until, meta.end);
  return nodes;
}

// Position of a node's last sample at or before a time, or -1.
const sampleAt = (node, time) => lowerBound(node.at, time + 1) - 1;

// The state of every directed link at a time: Map "from>to" -> name.
function linksAt(meta, time) {
  const state = new Map();
  for (const [at, changes] of meta.links) {
    if (at > time) break;
    for (const [from, to, what] of changes) state.set(`${from}>${to}`, meta.linkStates[what]);
  }
  return state;
}
