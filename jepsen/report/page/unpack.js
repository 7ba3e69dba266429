// From the text in the page to columns of numbers. render.py's pack.py is the other side.

function bytesOf(base64) {
  const raw = atob(base64.trim());
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function inflate(bytes) {
  if (typeof DecompressionStream === 'undefined') return inflateByHand(bytes);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// RFC 1951 inside RFC 1950, for browsers without DecompressionStream. Canonical codes, one bit at a time: slow and short.
function inflateByHand(bytes) {
  const source = { bytes, at: 2, bit: 0 };
  let out = new Uint8Array(Math.max(1024, bytes.length * 6));
  let size = 0;
  const put = (byte) => {
    if (size === out.length) { const larger = new Uint8Array(size * 2); larger.set(out); out = larger; }
    out[size++] = byte;
  };
  for (let last = 0; !last;) {
    last = takeBits(source, 1);
    const kind = takeBits(source, 2);
    if (kind === 0) {
      if (source.bit) { source.bit = 0; source.at++; }
      const length = source.bytes[source.at] | source.bytes[source.at + 1] << 8;
      source.at += 4;
      for (let i = 0; i < length; i++) put(source.bytes[source.at++]);
      continue;
    }
    const [literals, distances] = kind === 1 ? fixedCodes() : dynamicCodes(source);
    for (let symbol; (symbol = takeSymbol(source, literals)) !== 256;) {
      if (symbol < 256) { put(symbol); continue; }
      const length = LENGTHS[symbol - 257][0] + takeBits(source, LENGTHS[symbol - 257][1]);
      const far = DISTANCES[takeSymbol(source, distances)];
      let from = size - far[0] - takeBits(source, far[1]);
      for (let i = 0; i < length; i++) put(out[from++]);
    }
  }
  return out.slice(0, size);
}

const LENGTHS = ladder(3, [8, 4, 4, 4, 4, 4]).concat([[258, 0]]);
const DISTANCES = ladder(1, [4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);

// [first value, extra bits] of each code; counts[b]: how many codes take b extra bits.
function ladder(first, counts) {
  const rows = [];
  counts.forEach((count, bits) => {
    for (let i = 0; i < count; i++) { rows.push([first, bits]); first += 1 << bits; }
  });
  return rows;
}

function takeBits(source, count) {
  let value = 0;
  for (let i = 0; i < count; i++) {
    if (source.at >= source.bytes.length) throw new Error('the data of this report is cut off');
    value |= (source.bytes[source.at] >> source.bit & 1) << i;
    if (++source.bit === 8) { source.bit = 0; source.at++; }
  }
  return value;
}

function codesOf(lengths) {
  const counts = new Array(16).fill(0), starts = [0, 0], symbols = [];
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  for (let i = 1; i < 16; i++) starts[i + 1] = starts[i] + counts[i];
  lengths.forEach((length, symbol) => { if (length) symbols[starts[length]++] = symbol; });
  return { counts, symbols };
}

function takeSymbol(source, { counts, symbols }) {
  for (let length = 1, code = 0, first = 0, index = 0; length < 16; length++) {
    code |= takeBits(source, 1);
    if (code - counts[length] < first) return symbols[index + code - first];
    index += counts[length];
    first = first + counts[length] << 1;
    code <<= 1;
  }
  throw new Error('the data of this report is damaged');
}

function fixedCodes() {
  const lengths = [];
  for (let i = 0; i < 288; i++) lengths.push(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
  return [codesOf(lengths), codesOf(new Array(30).fill(5))];
}

function dynamicCodes(source) {
  const literals = takeBits(source, 5) + 257, distances = takeBits(source, 5) + 1, count = takeBits(source, 4) + 4;
  const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  const meta = new Array(19).fill(0);
  for (let i = 0; i < count; i++) meta[order[i]] = takeBits(source, 3);
  const code = codesOf(meta), lengths = [];
  while (lengths.length < literals + distances) {
    const symbol = takeSymbol(source, code);
    if (symbol < 16) { lengths.push(symbol); continue; }
    const value = symbol === 16 ? lengths[lengths.length - 1] : 0;
    const times = symbol === 16 ? 3 + takeBits(source, 2) : symbol === 17 ? 3 + takeBits(source, 3) : 11 + takeBits(source, 7);
    for (let i = 0; i < times; i++) lengths.push(value);
  }
  return [codesOf(lengths.slice(0, literals)), codesOf(lengths.slice(literals))];
}

// {table: {rows, column: numbers}}; -1: absent. A column without any value is not there.
function columnsOf(layout, bytes) {
  const tables = {};
  let at = 0;
  for (const [name, { rows, columns }] of Object.entries(layout)) {
    const table = tables[name] = { rows };
    for (const { name: column, bytes: width, delta } of columns) {
      table[column] = columnOf(bytes, at, rows, width, delta);
      at += rows * width;
    }
  }
  return tables;
}

function columnOf(bytes, at, rows, width, delta) {
  const values = delta || width > 2 ? new Float64Array(rows) : new Int32Array(rows);
  for (let plane = 0, weight = 1; plane < width; plane++, weight *= 256) {
    const from = at + plane * rows;
    for (let i = 0; i < rows; i++) values[i] += bytes[from + i] * weight;
  }
  if (delta) for (let i = 1; i < rows; i++) values[i] += values[i - 1];
  for (let i = 0; i < rows; i++) values[i]--;
  return values;
}
