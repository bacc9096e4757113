import { check } from '../base/codec.js';
import { ORIGIN_LENGTH } from '../base/delta.js';
import { BalsaError } from '../base/errors.js';

/** What members say to each other of the deltas that wait to be merged. */
export type DeltaFrame =
  | DeltasSent
  | DeltasHeld
  /** The sender, whose queue is `origin`, is short of rights of these escrow counters. */
  | { readonly type: 'rights-wanted'; readonly origin: string; readonly keys: readonly string[] };

export interface DeltasSent {
  readonly type: 'deltas';
  /**
   * What was sent before, or is known to be there, through which sequence, by origin. Who lacks some of it takes none of these:
   * they may have seen it.
   */
  readonly behind: ReadonlyMap<string, number>;
  /** Each as `packDelta` makes it, in the order in which they are held. */
  readonly deltas: readonly Uint8Array[];
}

/** What a member has on its disk, or knows to be merged: others need not send it. */
export interface DeltasHeld {
  readonly type: 'deltas-held';
  /** Of its own queue. */
  readonly origin: string;
  /** All that was made in it through `timeMs` has a sequence through this one. */
  readonly sequence: number;
  readonly timeMs: number;
  /** Through which sequence, by origin. */
  readonly through: ReadonlyMap<string, number>;
  /** Something that was sent could not be taken in: it is to be sent again. */
  readonly lacks: boolean;
}

/** The types of their frames in a stream between members. */
export const DELTAS = 4;
export const DELTAS_HELD = 5;
export const RIGHTS_WANTED = 6;

const ORIGIN = /^[0-9a-f]+$/;

export function deltaFrameTuple(frame: DeltaFrame): unknown[] {
  if (frame.type === 'deltas') {
    return [DELTAS, frame.deltas, [...frame.behind].flat()];
  }
  if (frame.type === 'rights-wanted') return [RIGHTS_WANTED, frame.origin, frame.keys];
  const { origin, sequence, timeMs, through, lacks } = frame;
  return [DELTAS_HELD, origin, sequence, timeMs, [...through].flat(), lacks];
}

export function isDeltaFrame(type: unknown): boolean {
  return type === DELTAS || type === DELTAS_HELD || type === RIGHTS_WANTED;
}

/** @throws BalsaError `FRAME_INVALID` */
export function readDeltaFrame(t: readonly unknown[]): DeltaFrame {
  if (t[0] === DELTAS) {
    const deltas = check.list(t[1], 'deltas').map((value) => check.bytes(value, 'delta'));
    return { type: 'deltas', behind: readSequences(t[2], 'deltas behind'), deltas };
  }
  if (t[0] === RIGHTS_WANTED) {
    const keys = check.list(t[2], 'rights wanted').map((v) => check.text(v, 'rights wanted'));
    return { type: 'rights-wanted', origin: readOrigin(t[1]), keys };
  }
  return {
    type: 'deltas-held',
    origin: readOrigin(t[1]),
    sequence: check.count(t[2], 'deltas held sequence'),
    timeMs: check.count(t[3], 'deltas held time'),
    through: readSequences(t[4], 'deltas held'),
    lacks: check.flag(t[5], 'deltas held lacks'),
  };
}

/** By origin. */
function readSequences(value: unknown, what: string): Map<string, number> {
  const flat = check.list(value, what);
  const sequences = new Map<string, number>();
  for (let i = 0; i < flat.length; i += 2) {
    sequences.set(readOrigin(flat[i]), check.count(flat[i + 1], `${what} sequence`));
  }
  return sequences;
}

function readOrigin(value: unknown): string {
  const origin = check.text(value, 'origin');
  if (origin.length === ORIGIN_LENGTH && ORIGIN.test(origin)) return origin;
  throw new BalsaError('FRAME_INVALID', 'origin: not that of a queue of deltas');
}
