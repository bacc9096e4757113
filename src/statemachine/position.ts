import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';

/** The place of one write in the history of the store. */
export interface Position {
  readonly revision: number;
  /** Which of the writes that share the revision: a transaction has several. */
  readonly sub: number;
}

/** The last number that a write of a revision can have: it takes two bytes. */
export const SUB_MAX = 0xffff;

/** Before the first write of a key. */
export const NOWHERE: Position = { revision: 0, sub: 0 };

export const POSITION_BYTES = COUNT_BYTES + 2;

export function writePosition(target: Buffer, position: Position, offset: number): number {
  return target.writeUInt16BE(position.sub, writeCount(target, position.revision, offset));
}

export function readPosition(source: Buffer, offset: number): Position {
  return {
    revision: readCount(source, offset),
    sub: source.readUInt16BE(offset + COUNT_BYTES),
  };
}

/** Negative, zero or positive as `a` was written before, with or after `b`. */
export function comparePositions(a: Position, b: Position): number {
  return a.revision - b.revision || a.sub - b.sub;
}
