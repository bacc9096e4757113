/** Memory is looked at in blocks of so many bytes. */
const BLOCK_BYTES = 64 * 1024;
const EMPTY = Buffer.alloc(BLOCK_BYTES);

/** The memory of an interpreter, of which only `buffer` matters here: another one when it has grown. */
export interface GrowingMemory {
  readonly buffer: ArrayBufferLike;
}

/**
 * What an interpreter had in its memory at one moment, to be put back: then nothing that was done since has happened. Only
 * while it does nothing. Its stack is left out: the longest part without anything in it, when it was quiet.
 */
export class MemoryImage {
  readonly #memory: GrowingMemory;
  readonly #parts: readonly { readonly at: number; readonly bytes: Uint8Array }[];

  constructor(memory: GrowingMemory) {
    this.#memory = memory;
    const bytes = new Uint8Array(memory.buffer);
    const gap = longestEmptyPart(bytes);
    const end = usedThrough(bytes);
    this.#parts = [
      { at: 0, bytes: bytes.slice(0, gap.from) },
      { at: gap.to, bytes: bytes.slice(gap.to, end) },
    ];
  }

  get byteLength(): number {
    return this.#parts.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  }

  restore(): void {
    const memory = new Uint8Array(this.#memory.buffer);
    for (const { at, bytes } of this.#parts) memory.set(bytes, at);
  }
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

/** Between two blocks with something in them. */
function longestEmptyPart(bytes: Uint8Array): { readonly from: number; readonly to: number } {
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
