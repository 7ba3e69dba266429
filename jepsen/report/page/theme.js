// Colours, read from the style sheet: one place knows them.

const ROLE_WORDS = { leader: 'leader', follower: 'follower', candidate: 'candidate', learner: 'learner', down: 'down', paused: 'paused' };

function makeTheme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue('--' + name).trim();
  const many = (name, count, from = 0) => Array.from({ length: count }, (_, i) => colour(name + (i + from)));
  const theme = { colour, nodes: many('node', 8, 1) };
  for (const name of ['paper', 'card', 'ink', 'soft', 'line', 'faint', 'accent', 'bad', 'good', 'fail', 'info', 'write', 'leader', 'follower', 'candidate', 'gone']) theme[name] = colour(name);
  theme.kinds = [...LEVELS, 'write', 'other'].map(colour);
  theme.palettes = {
    level: theme.kinds,
    measured: [...many('age', 7), mix(colour('soft'), colour('paper'), .7)],
    node: [...theme.nodes, colour('other')],
    outcome: ['ok', 'fail', 'info'].map(colour),
  };
  theme.font = (size, weight = 400) => `${weight} ${size}px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif`;
  return theme;
}

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// A colour between two; share: how much of the second.
function mix(first, second, share) {
  const b = rgb(second);
  return '#' + rgb(first).map((value, i) => Math.round(value * (1 - share) + b[i] * share).toString(16).padStart(2, '0')).join('');
}

// As one word of a canvas's pixels (little endian: alpha, blue, green, red).
function pixel(hex, alpha = 255) {
  const [r, g, b] = rgb(hex);
  return (alpha << 24 | b << 16 | g << 8 | r) >>> 0;
}

function faultColour(theme, name) {
  const kinds = [['process', /kill|restart|stop|pause|crash/i], ['disk', /disk|torn|fsync|unsynced|eio|enospc|tmpfs|snapshot/i], ['clock', /clock|skew|strobe/i]];
  return theme.colour((kinds.find(([, pattern]) => pattern.test(name)) ?? ['network'])[0]);
}

function classNames(app) {
  const ages = AGE_STEPS.map(span);
  return {
    level: ['strong', 'bounded', 'session', 'eventual', 'write', 'read, no level'],
    measured: ['not late', ...ages.slice(1).map((age) => `under ${age}`), `${ages[ages.length - 1]} and more`, 'not a measured read'],
    node: [...Array.from({ length: Math.min(app.meta.nodes, 8) }, (_, i) => `node ${i + 1}`)],
    outcome: ['ok', 'fail', 'info'],
  }[app.mode];
}

function showLegend(app) {
  const names = classNames(app), palette = app.theme.palettes[app.mode];
  const items = names.map((name, i) => {
    const swatch = el('span', { class: 'swatch' });
    swatch.style.background = palette[i];
    return [name, el('span', {}, swatch, name)];
  }).filter(([name]) => name !== 'read, no level' || app.store.kind.includes(OTHER_KIND));
  byId('legend').replaceChildren(...items.map(([, item]) => item),
    el('span', {}, el('span', { class: 'swatch fail' }), 'refused or failed'), el('span', {}, el('span', { class: 'swatch info' }), 'unknown outcome'),
    el('span', { text: 'writes are taller than reads' }));
}
