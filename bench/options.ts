import { BalsaError } from '../src/base/errors.js';
import { DISTRIBUTIONS, OPERATIONS, type Scenario } from '../src/cli/bench/scenario.js';
import { count, counts, parseFlags, someOf, text } from './harness/flags.js';
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

/** What each is for stands in `USAGE`. */
const FLAGS = {
  peers: someOf(
    PEERS.map(({ name }) => name),
    [],
  ),
  operations: someOf(OPERATIONS, ['put', 'get']),
  valueBytes: counts([128]),
  outstanding: counts([1, 64, 256, 1024]),
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
  const { operations, distribution, keys, json, html, seconds, warmUpSeconds, rounds } = flags;
  const loads = [
    ...flags.outstanding.map((outstanding) => ({ outstanding, ratePerSecond: null })),
    ...flags.rates.map((ratePerSecond) => {
      return { outstanding: OUTSTANDING_OF_OPEN_LOOP, ratePerSecond };
    }),
  ];
  const scenarios = flags.valueBytes.flatMap((valueBytes) =>
    operations.flatMap((operation) =>
      distribution.flatMap((one) =>
        loads.map((load) => ({ operation, valueBytes, distribution: one, keys, ...load })),
      ),
    ),
  );
  const peers = peersOf(flags.peers);
  return { peers, scenarios, seconds, warmUpSeconds, rounds, json, html };
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
