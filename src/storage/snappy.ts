/**
 * Unpacks Snappy's format; `null` when the bytes are not in it.
 * https://github.com/google/snappy/blob/main/format_description.txt
 */
export function unsnappy(source: Uint8Array): Buffer | null {
  const length = readLength(source);
  if (length === null || length.value > LENGTH_MAX) return null;
  const target = Buffer.alloc(length.value);
  let from = length.end;
  let to = 0;
  while (from < source.byteLength) {
    const element = readElement(source, from);
    if (element === null || to + element.length > target.byteLength) return null;
    from = element.end;
    if (element.distance === 0) {
      if (from + element.length > source.byteLength) return null;
      target.set(source.subarray(from, from + element.length), to);
      from += element.length;
      to += element.length;
    } else {
      if (element.distance > to) return null;
      // Byte by byte: what is copied may overlap what it makes.
      for (const end = to + element.length; to < end; to += 1) {
        target[to] = target[to - element.distance] as number;
      }
    }
  }
  return to === target.byteLength ? target : null;
}

/** Blocks are a few kilobytes; one with a single large value, some megabytes. */
const LENGTH_MAX = 256 * 1024 * 1024;

interface Element {
  readonly length: number;
  /** How far back the bytes to copy are; 0: they follow. */
  readonly distance: number;
  readonly end: number;
}

function readElement(source: Uint8Array, from: number): Element | null {
  const tag = source[from] as number;
  switch (tag & 3) {
    case 0: {
      const short = tag >>> 2;
      if (short < 60) return { length: short + 1, distance: 0, end: from + 1 };
      const bytes = short - 59;
      const long = little(source, from + 1, bytes);
      return long === null ? null : { length: long + 1, distance: 0, end: from + 1 + bytes };
    }
    case 1: {
      const low = little(source, from + 1, 1);
      return copy({ length: ((tag >>> 2) & 7) + 4, low, high: (tag >>> 5) << 8, end: from + 2 });
    }
    case 2:
      return copy({
        length: (tag >>> 2) + 1,
        low: little(source, from + 1, 2),
        high: 0,
        end: from + 3,
      });
    default:
      return copy({
        length: (tag >>> 2) + 1,
        low: little(source, from + 1, 4),
        high: 0,
        end: from + 5,
      });
  }
}

function copy(fields: {
  readonly length: number;
  readonly low: number | null;
  readonly high: number;
  readonly end: number;
}): Element | null {
  const { length, low, high, end } = fields;
  if (low === null || low + high === 0) return null;
  return { length, distance: low + high, end };
}

function little(source: Uint8Array, at: number, bytes: number): number | null {
  if (at + bytes > source.byteLength) return null;
  let value = 0;
  for (let n = bytes - 1; n >= 0; n -= 1) value = value * 256 + (source[at + n] as number);
  return value;
}

function readLength(source: Uint8Array): { value: number; end: number } | null {
  let value = 0;
  for (let n = 0; n < 5; n += 1) {
    const byte = source[n];
    if (byte === undefined) return null;
    value += (byte & 0x7f) * 2 ** (7 * n);
    if (byte < 0x80) return { value, end: n + 1 };
  }
  return null;
}
