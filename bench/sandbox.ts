import { systemClock } from '../src/base/clock.js';
import type { Mode } from '../src/base/operation.js';
import { CALL_LIMITS, type Source, type StoredKey } from '../src/compute/execution.js';
import { Vm } from '../src/compute/sandbox/vm.js';
import { bundleOf } from './bundle-of.js';
import { benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { report, rounded } from './machine.js';
import { TRANSFER, VIEW } from './procedure-code.js';

/**
 * `npm run bench:sandbox`: what one call takes in the interpreter, with all that goes in and out, and nothing else: no thread, no replica, and a
 * store that has every key at hand.
 */
const flags = benchFlags('bench:sandbox', {
  calls: count(6000, 'of each kind, in each round'),
  rounds: count(4, 'of each kind, in turn'),
  json: JSON_FILE,
});
leaveNothingBehind();

const CODE = `
import { ap, counter, procedure } from 'balsa/procedures';
export const empty = ap({ handler: (ctx, page: number) => page });
export const add = ap({
  handler: (ctx, page: number) => {
    ctx.cell(counter('views/' + page)).add();
    return page;
  },
});
${VIEW}
${TRANSFER}
`;

interface Case {
  readonly name: string;
  readonly what: string;
  readonly mode: Mode;
  readonly argsOf: (i: number) => unknown;
}

const page = (i: number): number => i % 100;
const CASES: readonly Case[] = [
  { name: 'empty', what: 'an empty call', mode: 'ap', argsOf: page },
  { name: 'add', what: 'one add to a counter', mode: 'ap', argsOf: page },
  { name: 'view', what: 'one add to a counter, and its value', mode: 'ap', argsOf: page },
  {
    ...{ name: 'transfer', what: 'two keys read and written', mode: 'cp' },
    argsOf: (i) => ({ from: `account/${i % 5000}`, to: `account/${(i * 7) % 5000}`, amount: 1 }),
  },
];

const value = Buffer.from('1000');
const stored = (key: Uint8Array): StoredKey => ({ key, value, modRevision: 1 });
const source: Source = {
  get: stored,
  peek: stored,
  scan: () => ({ items: [], more: false }),
  cell: () => null,
};

const bundle = await bundleOf(CODE);
const limits = { ...CALL_LIMITS, computeMsMax: 30_000 };
const vm = await Vm.make(bundle, limits, systemClock);

/** @returns microseconds for each call */
function measure({ name, mode, argsOf }: Case): number {
  const { calls } = flags;
  const startedMs = performance.now();
  for (let i = 0; i < calls; i += 1) {
    const facts = { nowMs: 1_700_000_000_000, seed: i, origin: 'bench' };
    const args = JSON.stringify(argsOf(i));
    const execution = vm.run({ bundle, name, args, limits, ...facts }, mode, source);
    if (!execution.ok) throw execution.error;
  }
  return ((performance.now() - startedMs) * 1000) / calls;
}

const found = new Map(CASES.map((one) => [one, [] as number[]]));
for (let round = 0; round < flags.rounds; round += 1) {
  for (const [one, micros] of found) micros.push(measure(one));
}
const rows = [...found].map(([{ what }, micros]) => ({
  call: what,
  'first round, µs': rounded(micros[0] ?? Number.NaN),
  'last round, µs': rounded(micros.at(-1) ?? Number.NaN),
  'fastest, µs': rounded(Math.min(...micros)),
}));
report('bench:sandbox', rows, flags.json);
