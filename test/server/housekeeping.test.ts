import { describe, expect, test } from 'vitest';
import { Housekeeping, type KeptState } from '../../src/server/housekeeping.js';
import type { SystemDone } from '../../src/server/proposals.js';
import type { SystemOperation } from '../../src/statemachine/types.js';
import { Scheduler } from './test-scheduler.js';

interface Asked {
  readonly operations: readonly SystemOperation[];
  readonly done: SystemDone;
}

/** A leader's housekeeping over a state that is set by hand. */
class House {
  readonly scheduler = new Scheduler(1);
  readonly asked: Asked[] = [];
  canPropose = true;
  nowMs: number | null = 10_000;
  due: number[] = [];
  hasLeases = false;
  toKeep: number | null = null;
  state = { logTimeMs: 10_000, revision: 0, compactedRevision: 0, sweptRevision: 0 };
  readonly housekeeping = new Housekeeping({
    clock: this.scheduler.clock(() => true),
    limits: { sweepRecordsMax: 100 },
    canPropose: () => this.canPropose,
    logTimeMs: () => this.nowMs,
    machine: () => this.#kept(),
    propose: (operations, done) => this.asked.push({ operations, done }),
    onFailure: (error) => {
      throw error;
    },
  });

  tick(): void {
    this.housekeeping.tick();
  }

  run(ms: number): Promise<void> {
    return this.scheduler.run(this.scheduler.nowMs + ms);
  }

  get operations(): SystemOperation[] {
    return this.asked.flatMap(({ operations }) => operations);
  }

  #kept(): KeptState {
    return {
      ...this.state,
      dueLeases: (now, max) => (now > 1e12 && this.hasLeases ? [99] : this.due.slice(0, max)),
      revisionToKeep: () => this.toKeep,
    };
  }
}

describe('the housekeeping of the leader', () => {
  test('proposes nothing when there is nothing to do', async () => {
    const house = new House();
    house.tick();
    house.nowMs = 1_000_000;
    house.tick();
    await house.run(60_000);
    expect(house.asked).toEqual([]);
    expect(house.scheduler.events).toBe(0);
  });

  test('lets due leases expire, one proposal at a time', () => {
    const house = new House();
    house.due = [3, 5];
    house.tick();
    house.tick();
    expect(house.operations).toEqual([{ type: 'expire', leases: [3, 5] }]);
    house.asked[0]?.done(true);
    house.due = [7];
    house.tick();
    expect(house.operations.at(-1)).toEqual({ type: 'expire', leases: [7] });
  });

  test('goes on at once while more leases are due than one entry takes', () => {
    const house = new House();
    house.due = Array.from({ length: 100 }, (_, i) => i + 1);
    house.tick();
    house.due = house.due.slice(64);
    house.asked[0]?.done(true);
    expect(house.operations.map((o) => o.type === 'expire' && o.leases.length)).toEqual([64, 36]);
  });

  test('compacts as the settings have it, at most once in a second', async () => {
    const house = new House();
    house.toKeep = 50;
    house.tick();
    house.asked[0]?.done(true);
    house.toKeep = 60;
    house.tick();
    expect(house.operations).toEqual([{ type: 'compact', revision: 50 }]);
    await house.run(1000);
    house.tick();
    expect(house.operations.at(-1)).toEqual({ type: 'compact', revision: 60 });
  });

  test('sweeps slice by slice until all is swept, and rests in between', async () => {
    const house = new House();
    house.state = { ...house.state, compactedRevision: 10 };
    house.tick();
    house.tick();
    expect(house.operations).toEqual([{ type: 'sweep', records: 100 }]);
    // The slice took 20 ms: 60 ms belong to others.
    await house.run(20);
    house.asked[0]?.done(true);
    await house.run(59);
    house.tick();
    expect(house.asked).toHaveLength(1);
    await house.run(2);
    expect(house.asked).toHaveLength(2);
    house.state = { ...house.state, sweptRevision: 10 };
    house.asked[1]?.done(true);
    await house.run(10_000);
    house.tick();
    expect(house.asked).toHaveLength(2);
  });

  test.each([
    { written: 1, restMs: 60 },
    { written: 50, restMs: 20 / 3 },
    { written: 1000, restMs: 0 },
  ])(
    'a sweep rests $restMs ms when $written are written while a slice of 100 takes 20 ms',
    async ({ written, restMs }) => {
      const house = new House();
      house.state = { ...house.state, compactedRevision: 10 };
      house.tick();
      await house.run(20);
      house.state = { ...house.state, revision: written };
      house.asked[0]?.done(true);
      if (restMs > 1) {
        await house.run(restMs - 1);
        expect(house.asked).toHaveLength(1);
      }
      await house.run(2);
      expect(house.asked).toHaveLength(2);
    },
  );

  test('keeps the time in the log fresh while there are leases', () => {
    const house = new House();
    house.nowMs = 12_000;
    house.tick();
    expect(house.asked).toEqual([]);
    house.hasLeases = true;
    house.nowMs = 11_999;
    house.tick();
    expect(house.asked).toEqual([]);
    house.nowMs = 12_000;
    house.tick();
    expect(house.asked.map(({ operations }) => operations)).toEqual([[]]);
  });

  test('does nothing without leadership, before log time is known, or after a stop', async () => {
    const house = new House();
    house.due = [1];
    house.state = { ...house.state, compactedRevision: 10 };
    house.canPropose = false;
    house.tick();
    house.canPropose = true;
    house.nowMs = null;
    house.tick();
    expect(house.asked).toEqual([]);
    house.nowMs = 10_000;
    house.tick();
    expect(house.asked).toHaveLength(2);
    // Lost: nothing is begun by itself.
    house.canPropose = false;
    for (const { done } of [...house.asked]) done(false);
    await house.run(10_000);
    expect(house.asked).toHaveLength(2);
    // Leads again.
    house.canPropose = true;
    house.tick();
    expect(house.asked).toHaveLength(4);
    house.housekeeping.stop();
    for (const { done } of house.asked.slice(2)) done(true);
    await house.run(10_000);
    house.tick();
    expect(house.asked).toHaveLength(4);
  });
});
