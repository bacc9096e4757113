import { describe, expect, test } from 'vitest';
import { type Random, seededRandom } from '../../../src/base/random.js';
import type { CallAnswer } from '../../../src/server/calls/call-types.js';
import { ApWorld, add, append, type Body, setAdd } from './ap-world.js';

const SEEDS = 64 * Number(process.env.BALSA_SOAK ?? 1);
const STEPS = 60;
const STOCK = 20;

interface Made {
  readonly what: string;
  readonly told: { answer: CallAnswer | null }[];
  /** Queues that may have it alone. */
  readonly at: Set<string>;
}

/** Random calls over replicas that are cut off, crash, and lose frames and queues. */
class Walk {
  readonly random: Random;
  readonly made: Made[] = [];
  #lostQueues = new Set<string>();

  constructor(
    readonly ap: ApWorld,
    readonly count: number,
    seed: number,
  ) {
    this.random = seededRandom(seed);
    ap.world.fateOfDeltas = () => this.#fate();
  }

  async run(): Promise<void> {
    for (let i = 0; i < STEPS; i += 1) {
      await this.#step(i);
      await this.ap.world.run(this.random.int(150));
    }
    this.ap.world.heal();
    this.ap.world.fateOfDeltas = () => [1];
    for (let place = 1; place <= this.count; place += 1) await this.#start(place);
    await this.ap.settle();
  }

  /** Whether it may be that nobody has it any more. */
  mayBeLost({ at }: Made): boolean {
    return [...at].every((queue) => this.#lostQueues.has(queue));
  }

  #fate(): readonly number[] {
    const dice = this.random.int(10);
    if (dice === 0) return [];
    if (dice === 1) return [1, 1 + this.random.int(60)];
    return dice === 2 ? [1 + this.random.int(300)] : [1];
  }

  async #step(i: number): Promise<void> {
    const { ap, random } = this;
    const place = 1 + random.int(this.count);
    const machine = ap.machine(place);
    const dice = random.int(20);
    if (dice === 0 && machine.isRunning) machine.crash();
    else if (dice === 1 && machine.isRunning) {
      this.#lostQueues.add(machine.deltas?.origin ?? '');
      machine.crash();
      machine.loseDeltas();
    } else if (dice === 2) ap.world.isolate(machine.id);
    else if (dice === 3) this.#cutSome();
    else if (dice === 4) ap.world.heal();
    else if (!machine.isRunning) await this.#start(place);
    else this.#call(place, i);
  }

  #cutSome(): void {
    const ids = [...this.ap.world.machines.keys()];
    for (const from of ids) {
      for (const to of ids) if (this.random.int(3) === 0) this.ap.world.cut.add(`${from}>${to}`);
    }
  }

  async #start(place: number): Promise<void> {
    const machine = this.ap.machine(place);
    if (!machine.isRunning) await this.ap.world.wait(machine.start());
  }

  /** A new one, or one that was made before, perhaps elsewhere. */
  #call(place: number, i: number): void {
    const { made, random, ap } = this;
    const again = random.int(2) === 0 ? made.at(-1 - random.int(6)) : undefined;
    const one = again ?? { what: `c${i}`, told: [], at: new Set<string>() };
    if (again === undefined) made.push(one);
    const told = ap.begin(place, bodyOf(one.what), { key: one.what });
    one.told.push(told);
    one.at.add(ap.machine(place).deltas?.origin ?? '');
  }
}

const numberOf = (what: string): number => Number(what.slice(1));

function bodyOf(what: string): Body {
  const number = numberOf(what);
  if (number % 4 === 0) return { key: 'n', change: add(number + 1) };
  if (number % 4 === 1) return { key: 'log', change: append(what) };
  if (number % 8 === 2) return { key: 'set', change: setAdd(what), noted: { log: 'added', what } };
  if (number % 8 === 6) return { key: 'set', clears: true, noted: { log: 'removed', what } };
  // All that are there: rights that came back and should not have are used at once.
  return { key: 'stock', take: STOCK, noted: { log: 'taken', what } };
}

describe('whatever is cut off, crashes, and loses frames or queues', () => {
  test.each(Array.from({ length: SEEDS }, (_, i) => i + 1))(
    'what was acknowledged counts once (seed %i)',
    async (seed) => {
      const count = 3 + (seed % 3);
      const ap = await ApWorld.start(count, {}, { seed });
      await ap.call(1, { key: 'stock', change: { cell: 'escrow', type: 'add', by: STOCK } });
      await ap.settle();
      const walk = new Walk(ap, count, seed);
      await walk.run();
      const taken = ap.merged(1, 'taken', 'log') as [string, number][];
      const added = ap.merged(1, 'added', 'log') as [string, number][];
      const removed = ap.merged(1, 'removed', 'log') as [string, string[]][];
      const log = [
        ...(ap.merged(1, 'log', 'log') as string[]),
        ...[...taken, ...added, ...removed].map(([what]) => what),
      ];
      expect(log.filter((what, i) => log.indexOf(what) !== i)).toEqual([]);
      let sure = 0;
      let most = 0;
      for (const one of walk.made) {
        const isAcknowledged = one.told.some(({ answer }) => answer?.ok === true);
        const isDue = isAcknowledged && !walk.mayBeLost(one);
        const number = numberOf(one.what);
        if (number % 4 === 0) {
          most += number + 1;
          if (isDue) sure += number + 1;
        } else if (isDue) expect(log).toContain(one.what);
      }
      expect(ap.merged(1, 'n')).toBeGreaterThanOrEqual(sure);
      expect(ap.merged(1, 'n')).toBeLessThanOrEqual(most);
      const gone = new Set(removed.flatMap(([, items]) => items));
      const kept = added.map(([what]) => what).filter((what) => !gone.has(what));
      expect(ap.merged(1, 'set', 'set')).toEqual(kept.sort());
      // Rights of a queue that is lost are there, and taken by nobody.
      const left = STOCK - taken.reduce((sum, [, by]) => sum + by, 0);
      expect(ap.merged(1, 'stock', 'escrow')).toBe(left);
      expect(walk.ap.world.running.flatMap(({ failures }) => failures)).toEqual([]);
    },
  );
});
