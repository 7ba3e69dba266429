// Times and numbers as people read them.

function span(us) {
  if (!(us >= 0)) return '–';
  if (us < 1000) return `${Math.round(us)} µs`;
  const [value, unit] = us < 999_500 ? [us / 1000, 'ms'] : [us / 1e6, 's'];
  return `${value >= 100 ? Math.round(value) : +value.toPrecision(3)} ${unit}`;
}

// A moment of the test; `step`: how exact, in us.
function moment(us, step = 1000) {
  const digits = step >= 1e6 ? 0 : step >= 1e5 ? 1 : step >= 1e4 ? 2 : step >= 1e3 ? 3 : step >= 100 ? 4 : step >= 10 ? 5 : 6;
  return `${(us / 1e6).toFixed(digits)} s`;
}

const grouped = (n) => n.toLocaleString('en-US');

// A round step of 1, 2 or 5 times a power of ten, at least `least`.
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1e-9)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least * .999);
}

// First position in the sorted numbers whose value is at least `value`.
function lowerBound(numbers, value, at = (i) => numbers[i]) {
  let low = 0, high = numbers.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (at(middle) < value) low = middle + 1; else high = middle;
  }
  return low;
}

// An element with text. Everything that comes from a history reaches the page through here: as text, never as HTML.
function el(name, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

const byId = (id) => document.getElementById(id);
