import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FAILPOINTS } from '../../src/base/failpoints.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { DeltaQueue, DeltaQueueOptions } from '../../src/storage/delta-queue.js';
import { FailpointSet } from '../../src/storage/failpoint-set.js';
import {
  KEEP_UNSYNCED,
  LOSE_UNSYNCED,
  MemoryFiles,
  tearUnsynced,
} from '../../src/storage/memory-files.js';
import { chosenOutcomes, outcome, outcomes } from '../crash/subsets.js';
import { heldDelta, idOf, OTHER, openQueue, THIRD } from './delta-queue-helpers.js';
import { ManualWorld } from './manual-world.js';

/** What is known of a queue by those who use it, over restarts. */
class Promises {
  origin: string | null = null;
  /** All that were appended and are not lost, in order. */
  appended: { readonly origin: string; readonly sequence: number }[] = [];
  /** The first ones of them, that were called durable. */
  durable = 0;
  readonly merged = new Map<string, number>();

  append(queue: DeltaQueue, origin: string, bytes: number): void {
    // Copies of what is merged are not taken; the queue itself does not know of those for ever.
    const sequence = Math.max(queue.lastSequence(origin), this.merged.get(origin) ?? 0) + 1;
    queue.append(heldDelta(origin, sequence, bytes));
    this.appended.push({ origin, sequence });
    const count = this.appended.length;
    queue.whenDurable(queue.position, () => {
      this.durable = Math.max(this.durable, count);
    });
  }

  /** Those that were called durable are in the log up to here, one more of each `origin` than `behind`. */
  trim(queue: DeltaQueue, behind: number): void {
    for (const { origin, sequence } of this.appended.slice(0, Math.max(0, this.durable - behind))) {
      this.merged.set(origin, Math.max(sequence, this.merged.get(origin) ?? 0));
    }
    queue.trim((origin) => this.merged.get(origin) ?? 0);
  }

  /** Checks a queue that was opened after a crash, and goes on from what it has. */
  found(queue: DeltaQueue): void {
    if (this.origin !== null) expect(queue.origin).toBe(this.origin);
    else expect(this.durable).toBe(0);
    const names = this.appended.map(({ origin, sequence }) => idOf(queue, origin, sequence));
    const held = [...queue.held].map(({ delta: { origin, sequence } }) =>
      idOf(queue, origin, sequence),
    );
    // A part of what was appended, in order and whole, with all that is needed.
    const first = held.length === 0 ? 0 : names.indexOf(held[0] as string);
    const end = held.length === 0 ? Math.max(this.durable, 0) : first + held.length;
    if (held.length > 0) expect(names.slice(first, end)).toEqual(held);
    expect(end).toBeGreaterThanOrEqual(this.durable);
    const isMerged = ({ origin, sequence }: { origin: string; sequence: number }) =>
      sequence <= (this.merged.get(origin) ?? 0);
    const needed = this.appended.slice(0, this.durable).filter((delta) => !isMerged(delta));
    for (const { origin, sequence } of needed) {
      expect(held).toContain(idOf(queue, origin, sequence));
    }
    this.appended = this.appended.slice(0, end);
    this.durable = end;
    this.origin = queue.origin;
    const own = this.appended.filter(({ origin }) => origin === queue.origin).length;
    expect(queue.lastSequence(queue.origin)).toBe(own);
    expect(queue.removedSequence).toBeLessThanOrEqual(this.merged.get(queue.origin) ?? 0);
    expect(queue.durablePosition).toBe(held.length);
  }

  copy(): Promises {
    const copy = new Promises();
    copy.origin = this.origin;
    copy.appended = [...this.appended];
    copy.durable = this.durable;
    for (const [origin, sequence] of this.merged) copy.merged.set(origin, sequence);
    return copy;
  }
}

/** A life with groups, large and small deltas, changes of file, trims. */
function live(
  files: MemoryFiles,
  world: ManualWorld,
  promises: Promises,
  options: Partial<DeltaQueueOptions> = {},
): void {
  const { queue } = openQueue(files, world, options);
  promises.origin = queue.origin;
  for (let round = 1; round <= 10; round += 1) {
    promises.append(queue, queue.origin, 150);
    promises.append(queue, OTHER, 0);
    world.runOne();
    promises.append(queue, queue.origin, round === 3 ? 3000 : 400);
    if (round % 2 === 0) promises.append(queue, THIRD, 0);
    world.run();
    if (round > 2) promises.trim(queue, 3);
    // Long enough for a seal, sometimes.
    if (round % 3 === 0) world.pass(10);
    world.run();
  }
}

/** Until the disk has taken so many steps; then the machine stops. */
function liveUntil(steps: number): { readonly files: MemoryFiles; readonly promises: Promises } {
  const world = new ManualWorld();
  const files = new MemoryFiles({ schedule: world.schedule });
  const promises = new Promises();
  files.onStep = ({ number }) => {
    if (number === steps) files.halt();
  };
  try {
    live(files, world, promises);
  } catch (error) {
    expect(String(error)).toMatch(/machine is off/);
  }
  return { files, promises };
}

const STEPS = liveUntil(Number.POSITIVE_INFINITY).files.steps;
const OUTCOMES_MAX = 64;

/** Goes on with what a crash has left, and crashes once more. */
function goOn(files: MemoryFiles, promises: Promises): void {
  const world = new ManualWorld();
  const disk = files.copy(world.schedule);
  const { queue } = openQueue(disk, world);
  promises.found(queue);
  promises.trim(queue, 2);
  for (let more = 0; more < 3; more += 1) {
    promises.append(queue, queue.origin, 900);
    promises.append(queue, OTHER, 0);
    world.run();
  }
  expect(promises.durable).toBe(promises.appended.length);
  promises.found(openQueue(disk.crash(LOSE_UNSYNCED), new ManualWorld()).queue);
}

describe('a crash at any step', () => {
  test('the life has many of them', () => {
    const { promises, files } = liveUntil(Number.POSITIVE_INFINITY);
    expect(STEPS).toBeGreaterThan(70);
    expect(promises.durable).toBe(35);
    const names = files.copy().list('/data/ap');
    expect(names.length).toBeLessThan(5);
    expect(names[0]).not.toBe('0000000000000001.deltas');
  });

  test('leaves what was called durable, in order, once, whatever of the rest is lost', () => {
    let tried = 0;
    for (let step = 1; step <= STEPS; step += 1) {
      const { files, promises } = liveUntil(step);
      const unsynced = files.unsynced();
      const count = outcomes(unsynced);
      for (const number of chosenOutcomes(count, seededRandom(step), OUTCOMES_MAX)) {
        tried += 1;
        try {
          goOn(files.crash(outcome(unsynced, number)), promises.copy());
        } catch (error) {
          throw new Error(`step ${step}, outcome ${number} of ${count}`, { cause: error });
        }
      }
    }
    expect(tried).toBeGreaterThan(200);
  });

  test('of the start after a crash does no harm either', () => {
    for (let step = 1; step <= STEPS; step += 3) {
      const { files, promises } = liveUntil(step);
      for (let again = 1; again <= 8; again += 1) {
        const world = new ManualWorld();
        const disk = files.crash(tearUnsynced(seededRandom(step)), world.schedule);
        disk.onStep = ({ number }) => {
          if (number === again) disk.halt();
        };
        const next = promises.copy();
        try {
          next.found(openQueue(disk, world, { random: seededRandom(step + again) }).queue);
        } catch (error) {
          expect(String(error)).toMatch(/machine is off/);
        }
        goOn(disk.crash(tearUnsynced(seededRandom(again))), next);
      }
    }
  });

  test('of the process alone leaves what the next one can trust, even if power fails then', () => {
    for (let step = 1; step <= STEPS; step += 1) {
      const { files, promises } = liveUntil(step);
      const world = new ManualWorld();
      const killed = files.kill(world.schedule);
      const { queue } = openQueue(killed, world);
      promises.found(queue);
      promises.found(
        openQueue(
          killed.copy(() => {}, LOSE_UNSYNCED),
          new ManualWorld(),
        ).queue,
      );
      promises.append(queue, queue.origin, 700);
      world.run();
      promises.found(
        openQueue(
          killed.copy(() => {}, LOSE_UNSYNCED),
          new ManualWorld(),
        ).queue,
      );
      goOn(killed.crash(tearUnsynced(seededRandom(step))), promises);
    }
  });

  test('at any failpoint leaves what was called durable', () => {
    for (const name of FAILPOINTS.filter((each) => each.startsWith('deltas.'))) {
      for (let hit = 1; hit <= 6; hit += 1) {
        for (const choice of [LOSE_UNSYNCED, KEEP_UNSYNCED]) {
          const world = new ManualWorld();
          const files = new MemoryFiles({ schedule: world.schedule });
          const promises = new Promises();
          const failpoints = FailpointSet.parse(`${name}=exit@${hit}`, () => files.halt());
          try {
            live(files, world, promises, { failpoints });
          } catch (error) {
            expect(String(error)).toMatch(/failpoint|machine is off|failed/);
          }
          goOn(files.crash(choice), promises);
        }
      }
    }
  });
});

describe('a queue over many lives', () => {
  type Act =
    | 'own'
    | 'copy'
    | 'other'
    | 'large'
    | 'one'
    | 'run'
    | 'pass'
    | 'trim'
    | 'restart'
    | 'kill'
    | 'power';
  const act = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<Act>('own', 'copy', 'other', 'large') },
    { weight: 4, arbitrary: fc.constantFrom<Act>('one', 'run', 'pass') },
    { weight: 2, arbitrary: fc.constantFrom<Act>('trim', 'restart', 'kill', 'power') },
  );

  class Lives {
    readonly #random: Random;
    readonly #promises = new Promises();
    #world = new ManualWorld();
    #files: MemoryFiles;
    #queue: DeltaQueue;

    constructor(seed: number) {
      this.#random = seededRandom(seed);
      this.#files = new MemoryFiles({ schedule: this.#world.schedule });
      this.#queue = openQueue(this.#files, this.#world, { random: this.#random }).queue;
      this.#promises.found(this.#queue);
    }

    #reopen(next: (schedule: ManualWorld['schedule']) => MemoryFiles): void {
      this.#world = new ManualWorld();
      this.#files = next(this.#world.schedule);
      this.#queue = openQueue(this.#files, this.#world, { random: this.#random }).queue;
      this.#promises.found(this.#queue);
      // As whoever uses it does.
      this.#queue.trim((origin) => this.#promises.merged.get(origin) ?? 0);
    }

    do(what: Act): void {
      const files = this.#files;
      const { origin } = this.#queue;
      if (what === 'own') this.#promises.append(this.#queue, origin, 0);
      if (what === 'large') this.#promises.append(this.#queue, origin, 1500);
      if (what === 'copy') this.#promises.append(this.#queue, OTHER, 500);
      if (what === 'other') this.#promises.append(this.#queue, THIRD, 100);
      if (what === 'one') this.#world.runOne();
      if (what === 'run') this.#world.run();
      if (what === 'pass') this.#world.pass(10);
      if (what === 'trim') this.#promises.trim(this.#queue, this.#random.int(4));
      if (what === 'restart') {
        this.#world.run();
        void this.#queue.close();
        this.#world.run();
      }
      if (what === 'kill' || what === 'restart') {
        this.#reopen((schedule) => files.kill(schedule));
      }
      if (what === 'power') {
        this.#reopen((schedule) => files.crash(tearUnsynced(this.#random), schedule));
      }
    }
  }

  test('never loses what it called durable, nor uses a sequence twice', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 80, size: 'max' }), fc.nat(), (acts, seed) => {
        const lives = new Lives(seed);
        for (const what of acts) lives.do(what);
        lives.do('power');
      }),
      { numRuns: 200 },
    );
  });
});
