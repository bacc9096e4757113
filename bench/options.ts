import { parseArgs } from 'node:util';
import { BalsaError } from '../src/base/errors.js';
import { DISTRIBUTIONS, OPERATIONS, type Scenario } from '../src/cli/bench/scenario.js';
import { PEERS } from './peers/peers.js';
import type { PeerKind } from './peers/subject.js';

export const USAGE = `Measures Balsa, and in the same run what else one would pick. Three replicas and the clients on this machine, synced writes.

  npm run bench                                   puts and gets of 128 bytes, 1 to 1024 outstanding
  npm run bench -- --peers balsa,etcd,redis       who (default: all that are installed; the first is compared with the others)
                   --operations put,get           also mixed-50, mixed-95 (so many of 100 are gets; all linearizable), range (100 keys),
                                                  txn (a put, if the key is there), fan-out (a put, until 100 watchers have it);
                                                  of Balsa alone cp, cp-50, cp-80, cp-100 (calls of a procedure, so many of 100 about
                                                  one pair of keys), ap (a call that counts), job (100 empty tasks, and to remove it)
                   --value-bytes 128,1024         --outstanding 1,64,256,1024
                   --distribution uniform,zipfian --keys 10000
                   --rates 2000                   open loop: so many calls per second, however long they take
                   --seconds 4                    of each round; --warm-up-seconds 4 before it, not counted
                   --rounds 3                     in turn: A B A B
                   --json FILE --html FILE        all rounds; tables and curves
  npm run bench -- compare A.json B.json          two runs side by side
`;

export interface BenchOptions {
  readonly peers: readonly PeerKind[];
  readonly scenarios: readonly Scenario[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly rounds: number;
  readonly json: string | undefined;
  readonly html: string | undefined;
}

/** In an open loop, nothing waits for the calls before it. */
const OUTSTANDING_OF_OPEN_LOOP = 1;

/** @throws BalsaError `INVALID_ARGUMENT` */
export function benchOptions(args: readonly string[]): BenchOptions {
  const flags = parseFlags(args);
  const operations = parseWords('operations', flags.operations, OPERATIONS);
  const distributions = parseWords('distribution', flags.distribution, DISTRIBUTIONS);
  const one = (name: 'keys' | 'seconds' | 'rounds' | 'warm-up-seconds'): number => {
    const [value, ...others] = parseNumbers(name, flags[name]);
    if (value !== undefined && others.length === 0) return value;
    throw new BalsaError('INVALID_ARGUMENT', `--${name} is one number`);
  };
  const loads = [
    ...parseNumbers('outstanding', flags.outstanding).map((outstanding) => {
      return { outstanding, ratePerSecond: null };
    }),
    ...(flags.rates === undefined ? [] : parseNumbers('rates', flags.rates)).map((rate) => {
      return { outstanding: OUTSTANDING_OF_OPEN_LOOP, ratePerSecond: rate };
    }),
  ];
  const scenarios = parseNumbers('value-bytes', flags['value-bytes']).flatMap((valueBytes) =>
    operations.flatMap((operation) =>
      distributions.flatMap((distribution) =>
        loads.map((load) => {
          return { operation, valueBytes, distribution, keys: one('keys'), ...load };
        }),
      ),
    ),
  );
  return {
    ...{ peers: peersOf(flags.peers), scenarios, json: flags.json, html: flags.html },
    ...{ seconds: one('seconds'), warmUpSeconds: one('warm-up-seconds'), rounds: one('rounds') },
  };
}

/** Those that are named; else those that are installed. */
function peersOf(names: string | undefined): PeerKind[] {
  if (names === undefined) return [...PEERS];
  const known = PEERS.map(({ name }) => name);
  return parseWords('peers', names, known).map((name) => {
    const kind = PEERS.find((peer) => peer.name === name);
    const missing = kind?.missing() ?? null;
    if (kind !== undefined && missing === null) return kind;
    throw new BalsaError('INVALID_ARGUMENT', `--peers ${name}: ${missing}`);
  });
}

function parseFlags(args: readonly string[]) {
  const text = (fallback: string) => ({ type: 'string', default: fallback }) as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...{ operations: text('put,get'), 'value-bytes': text('128') },
        ...{ outstanding: text('1,64,256,1024'), distribution: text('uniform') },
        ...{ keys: text('10000'), seconds: text('4'), 'warm-up-seconds': text('4') },
        ...{ rounds: text('3'), rates: { type: 'string' }, peers: { type: 'string' } },
        ...{ json: { type: 'string' }, html: { type: 'string' } },
      },
    });
    return values;
  } catch (cause) {
    throw new BalsaError('INVALID_ARGUMENT', (cause as Error).message, { cause });
  }
}

/**
 * Numbers between commas.
 *
 * @throws BalsaError `INVALID_ARGUMENT`
 */
function parseNumbers(flag: string, text: string): number[] {
  return text.split(',').map((word) => {
    const value = Number(word);
    if (word.trim() !== '' && Number.isInteger(value) && value > 0) return value;
    throw new BalsaError('INVALID_ARGUMENT', `--${flag}: "${word}" is not a whole number above 0`);
  });
}

/**
 * Words between commas, each one of `known`.
 *
 * @throws BalsaError `INVALID_ARGUMENT`
 */
function parseWords<T extends string>(flag: string, text: string, known: readonly T[]): T[] {
  return text.split(',').map((word) => {
    const found = known.find((one) => one === word);
    if (found !== undefined) return found;
    throw new BalsaError('INVALID_ARGUMENT', `--${flag}: "${word}" is none of ${known.join(', ')}`);
  });
}
