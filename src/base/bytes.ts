/** Bytes: comparison in key order, text, prefixes. Keys are ordered as unsigned bytes. */

/** Negative, zero or positive as `a` sorts before, with or after `b`. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Strings as UTF-8; bytes as they are (not copied). */
export function toBytes(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
}

/** UTF-8 can say it: there is no half of a surrogate pair, which would become the same bytes as any other one. */
export function isWellFormed(text: string): boolean {
  // Of all Nodes that we run on; the library of types is that of an earlier year.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** The bytes as a view with Buffer's methods (not copied). */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** One character per byte: a string that may stand for the bytes as the key of a Map. */
export function toMapKey(bytes: Uint8Array): string {
  return toBuffer(bytes).toString('latin1');
}

/** The bytes that {@link toMapKey} stands for. */
export function fromMapKey(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

export function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.every((byte, i) => bytes[i] === byte);
}

/** The first key after all that start with `prefix`; `null` when there is none (all bytes 0xff). */
export function prefixEnd(prefix: Uint8Array): Uint8Array | null {
  let length = prefix.byteLength;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return null;
  const end = Uint8Array.prototype.slice.call(prefix, 0, length);
  end[length - 1] = (end[length - 1] as number) + 1;
  return end;
}

/** The first key after `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = Buffer.allocUnsafe(key.byteLength + 1);
  next.set(key);
  next[key.byteLength] = 0;
  return next;
}
