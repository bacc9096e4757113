import { open } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { BalsaError } from '../base/errors.js';
import type { Context } from './context.js';
import { fileUnreadable } from './files.js';

/** More than any replica can be configured to take; ends the reading of an endless input. */
export const INPUT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * All of a file, or of stdin (`-`). `bytes` null: it has more than {@link INPUT_BYTES_MAX}.
 * @throws BalsaError `FILE_UNREADABLE`, `CANCELLED`
 */
export async function readInput(
  { io, signal }: Context,
  path: string,
): Promise<{ readonly name: string; readonly bytes: Buffer | null }> {
  if (path === '-') return { name: 'stdin', bytes: await readAll(io.stdin, 'stdin', signal) };
  const handle = await open(path).catch((cause: unknown) => {
    throw fileUnreadable(path, cause);
  });
  return { name: path, bytes: await readAll(handle.createReadStream(), path, signal) };
}

async function readAll(input: Readable, name: string, signal: AbortSignal): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of addAbortSignal(signal, input)) {
      const piece = Buffer.from(chunk);
      chunks.push(piece);
      bytes += piece.byteLength;
      if (bytes > INPUT_BYTES_MAX) return null;
    }
  } catch (cause) {
    if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted', { cause });
    throw fileUnreadable(name, cause);
  }
  return Buffer.concat(chunks);
}
