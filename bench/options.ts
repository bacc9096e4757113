import { BalsaError } from '../src/base/errors.js';
import {
  DISTRIBUTIONS,
  type Distribution,
  OPERATIONS,
  type Operation,
  readShare,
  type Scenario,
} from '../src/cli/bench/scenario.js';
import { count, counts, oneOf, parseFlags, someOf, text } from './harness/flags.js';
import { PEERS } from './peers/peers.js';
import type { PeerKind } from './peers/subject.js';

export const USAGE = `Measures Balsa, and in the same run what else one would pick. Three replicas and the clients on this machine, synced writes.

  npm run bench                                   puts and gets of 128 bytes, 1 to 1024 outstanding
  npm run bench -- --peers balsa,etcd,redis       who (default: all that are installed; the first is compared with the others)
                   --operations put,get           also mixed-50, mixed-95 (so many of 100 are gets; all linearizable), range (100 keys),
                                                  txn (a put, if the key is there), fan-out (a put, until 100 watchers have it);
                                                  of Balsa alone cp, cp-50, cp-80, cp-100 (calls of a procedure, so many of 100 about
                                                  one pair of keys), ap (a call that counts), job (100 empty tasks, and to remove it)
                   --value-bytes 128,1024         --outstanding 64,1,256,1024
                   --distribution uniform,zipfian --keys 10000
                   --rates 2000                   open loop: so many calls per second, however long they take
                   --scenarios all                in place of those five: each operation, size of value, distribution and load once
                   --seconds 4                    of each round; --warm-up-seconds 4 before it, not counted,
                                                  and three times as many of each subject before the first
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

interface Choice {
  readonly operations: readonly Operation[];
  readonly valueBytes: readonly number[];
  readonly outstanding: readonly number[];
  readonly distribution: readonly Distribution[];
  readonly rates: readonly number[];
}

const PLAIN: Choice = {
  ...{ operations: ['put', 'get'], valueBytes: [128] },
  ...{ outstanding: [64], distribution: ['uniform'], rates: [] },
};

/** Each of everything once, and not all with each other, which would take days. */
const ALL: readonly Choice[] = [
  {
    ...PLAIN,
    operations: ['put', 'get', 'mixed-50', 'mixed-95'],
    outstanding: [64, 1, 256, 1024],
  },
  { ...PLAIN, outstanding: [], rates: [2000] },
  { ...PLAIN, operations: ['put', 'get', 'mixed-50', 'mixed-95'], distribution: ['zipfian'] },
  { ...PLAIN, operations: OPERATIONS.filter((one) => readShare(one) === null) },
  { ...PLAIN, valueBytes: [16, 1024, 65_536] },
];

/** What each is for stands in `USAGE`. */
const FLAGS = {
  scenarios: oneOf(['chosen', 'all'], 'chosen'),
  peers: someOf(
    PEERS.map(({ name }) => name),
    [],
  ),
  operations: someOf(OPERATIONS, ['put', 'get']),
  valueBytes: counts([128]),
  // One at a time is not the first: it would be measured on what has just been started, and is not compiled yet.
  outstanding: counts([64, 1, 256, 1024]),
  distribution: someOf(DISTRIBUTIONS, ['uniform']),
  keys: count(10_000),
  rates: counts([]),
  seconds: count(4),
  warmUpSeconds: count(4),
  rounds: count(3),
  json: text(),
  html: text(),
};

/** @throws BalsaError `INVALID_ARGUMENT` */
export function benchOptions(args: readonly string[]): BenchOptions {
  const flags = parseFlags(FLAGS, args);
  const { keys, json, html, seconds, warmUpSeconds, rounds } = flags;
  const isAll = flags.scenarios === 'all';
  if (isAll) refuseChoice(args);
  const scenarios = (isAll ? ALL : [flags]).flatMap((choice) => scenariosOf(choice, keys));
  const peers = peersOf(flags.peers);
  return { peers, scenarios, seconds, warmUpSeconds, rounds, json, html };
}

/** Flags of which each scenario has one value. */
const CHOICES = ['--operations', '--value-bytes', '--outstanding', '--distribution', '--rates'];

/** @throws BalsaError `INVALID_ARGUMENT` */
function refuseChoice(args: readonly string[]): void {
  const chosen = CHOICES.find((name) => args.some((arg) => arg.split('=', 1)[0] === name));
  if (chosen === undefined) return;
  throw new BalsaError('INVALID_ARGUMENT', `--scenarios all leaves nothing to ${chosen}`);
}

/** All with each other. */
function scenariosOf(
  { operations, valueBytes, distribution, outstanding, rates }: Choice,
  keys: number,
): Scenario[] {
  const loads = [
    ...outstanding.map((one) => ({ outstanding: one, ratePerSecond: null })),
    ...rates.map((one) => ({ outstanding: OUTSTANDING_OF_OPEN_LOOP, ratePerSecond: one })),
  ];
  return valueBytes.flatMap((bytes) =>
    operations.flatMap((operation) =>
      distribution.flatMap((one) =>
        loads.map((load) => ({ operation, valueBytes: bytes, distribution: one, keys, ...load })),
      ),
    ),
  );
}

/** Those that are named; when none is, those that are installed. */
function peersOf(names: readonly string[]): PeerKind[] {
  if (names.length === 0) return [...PEERS];
  return names.map((name) => {
    const kind = PEERS.find((peer) => peer.name === name);
    const missing = kind?.missing() ?? null;
    if (kind !== undefined && missing === null) return kind;
    throw new BalsaError('INVALID_ARGUMENT', `--peers ${name}: ${missing}`);
  });
}
