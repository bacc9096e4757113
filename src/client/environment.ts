import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../base/clock.js';
import { type Random, seededRandom } from '../base/random.js';
import { type Channel, type DialOptions, dial } from '../rpc/channel.js';

/** Opens a stream to a replica. Never throws, and calls no handler before it has returned. */
export type Dial = (options: DialOptions) => Channel;

/** What a client takes from the world. The simulator has its own. */
export interface Environment {
  readonly clock: Clock;
  /** For jitter. */
  readonly random: Random;
  readonly dial: Dial;
  /** 16 bytes that nobody else has. */
  readonly newSessionId: () => Uint8Array;
}

/** This machine. */
export function systemEnvironment(): Environment {
  return {
    clock: systemClock,
    random: seededRandom(randomBytes(6).readUIntBE(0, 6)),
    dial,
    newSessionId: () => randomBytes(16),
  };
}
