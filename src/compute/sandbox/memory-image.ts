import type { Memory } from './quick-js.js';

/** Memory is looked at in blocks of so many bytes. */
const BLOCK_BYTES = 64 * 1024;
const EMPTY = Buffer.alloc(BLOCK_BYTES);

/** From a byte to that before another one. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * What an interpreter had in its memory at one moment, to be put back: then nothing that was done since has happened. Only
 * while it does nothing: its stack is left out. So is what lies behind the last byte in use, which it takes for free.
 */
export class MemoryImage {
  readonly #memory: Memory;
  readonly #parts: readonly { readonly at: number; readonly bytes: Uint8Array }[];

  /** @param stack see {@link stackOf} */
  constructor(memory: Memory, stack: Span) {
    this.#memory = memory;
    const { bytes } = memory;
    this.#parts = [
      { at: 0, bytes: bytes.slice(0, stack.from) },
      { at: stack.to, bytes: bytes.slice(stack.to, usedThrough(bytes)) },
    ];
  }

  restore(): void {
    const { bytes: memory } = this.#memory;
    for (const { at, bytes } of this.#parts) memory.set(bytes, at);
  }
}

/** Where an interpreter that has done nothing yet has its stack: the longest part between others without anything in it. */
export function stackOf(memory: Memory): Span {
  const { bytes } = memory;
  const end = usedThrough(bytes);
  let longest = { from: 0, to: 0 };
  let from = 0;
  for (let at = 0; at < end; at += BLOCK_BYTES) {
    if (isEmpty(bytes, at)) continue;
    if (at - from > longest.to - longest.from) longest = { from, to: at };
    from = at + BLOCK_BYTES;
  }
  return longest;
}

function isEmpty(bytes: Uint8Array, at: number): boolean {
  return EMPTY.equals(bytes.subarray(at, at + BLOCK_BYTES));
}

/** Behind the last block with anything in it. */
function usedThrough(bytes: Uint8Array): number {
  let end = bytes.byteLength;
  while (end > 0 && isEmpty(bytes, end - BLOCK_BYTES)) end -= BLOCK_BYTES;
  return end;
}
