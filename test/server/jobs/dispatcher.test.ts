import { beforeEach, describe, expect, test } from 'vitest';
import type { JobStep } from '../../../src/base/job.js';
import { LIMITS } from '../../../src/base/limits.js';
import { Dispatcher } from '../../../src/server/jobs/dispatcher.js';
import { JobWorld, stage } from '../../statemachine/job-world.js';

/** The dispatcher of a leader; what it proposes is applied at once. */
class World {
  readonly jobs: JobWorld;
  readonly dispatcher: Dispatcher;
  readonly timers: number[] = [];
  nowMs = 0;
  operations = 0;
  loopUse = 0;
  machineUse = 0;
  claims = 0;

  static async start(): Promise<World> {
    const jobs = await JobWorld.start();
    const items = Array.from({ length: 1000 }, (_, i) => `${i}`);
    await jobs.submit([stage('map')], { input: { type: 'list', items } });
    return new World(jobs);
  }

  /** Extended leases that were proposed. */
  extended = 0;

  private constructor(jobs: JobWorld) {
    this.jobs = jobs;
    this.dispatcher = new Dispatcher({
      clock: {
        monotonicMs: () => this.nowMs,
        wallMs: () => 0,
        setTimer: (delayMs) => {
          this.timers.push(delayMs);
          return { cancel: () => {} };
        },
        defer: () => {},
      },
      limits: LIMITS,
      machine: () => jobs.replica.machine,
      canPropose: () => true,
      nowMs: () => jobs.timeMs,
      propose: (steps, _isPatient, done) => {
        this.#count(steps);
        // It took a while.
        this.nowMs += 10;
        void jobs.step(...steps).then(() => done(true));
      },
      operations: () => this.operations,
      loopUse: () => this.loopUse,
      machineUse: () => this.machineUse,
      processors: 2,
    });
  }

  #count(steps: readonly JobStep[]): void {
    for (const step of steps) {
      if (step.type === 'claims') this.claims += step.tasks.length;
      if (step.type === 'extend') this.extended += step.workers.length;
    }
  }

  /** Nobody is heard of for so long. @returns how many leases are extended at its end */
  async silence(ms: number): Promise<number> {
    this.extended = 0;
    this.nowMs += ms;
    this.jobs.timeMs += ms;
    this.dispatcher.look();
    for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
    return this.extended;
  }

  /** Clients have written so much; a worker wants 500 tasks. @returns how many it got */
  async look(operations: number): Promise<number> {
    this.claims = 0;
    this.operations += operations;
    this.nowMs += 1000;
    this.dispatcher.hear([
      {
        ...{ worker: 'w', home: 'h', where: 'worker', slots: 500, threads: 500 },
        ...{ tasks: ['map'], labels: [], memoryBytes: 0 },
      },
    ]);
    this.dispatcher.look();
    for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
    return this.claims;
  }
}

let world: World;

beforeEach(async () => {
  world = await World.start();
});

describe('the dispatcher of a leader', () => {
  test('gives workers what they can use while nobody writes', async () => {
    world.loopUse = 1;
    expect(await world.look(0)).toBe(500);
    expect(world.timers).toEqual([]);
  });

  test('does so beside writes, as long as it has time to spare', async () => {
    world.loopUse = 0.6;
    expect(await world.look(6400)).toBe(500);
    expect(world.timers).toEqual([]);
  });

  test('lets writes go first when they take nearly all of its time', async () => {
    world.loopUse = 0.8;
    expect(await world.look(640)).toBe(10);
    // Twice as long as the entry took.
    expect(world.timers).toEqual([20]);
    expect(await world.look(64)).toBe(2);
    expect(await world.look(0)).toBe(488);
  });

  test('does so, too, when nothing of the machine is left, if it is the writes that take it', async () => {
    world.loopUse = 0.8;
    expect(await world.look(64)).toBe(2);
    world.loopUse = 0.5;
    world.machineUse = 0.9;
    expect(await world.look(6400)).toBe(100);
    // Fewer per second than what would keep two processors busy.
    expect(await world.look(2900)).toBe(398);
  });

  test('extends a lease when its worker was heard of just now, and not because it was not long ago', async () => {
    await world.look(0);
    // Between a third and two thirds of the lease are over.
    world.jobs.timeMs += LIMITS.workerLeaseMs * 0.4;
    expect(await world.silence(1000)).toBe(0);
    expect(await world.silence(0)).toBe(0);
    await world.look(0);
    expect(world.extended).toBe(1);
  });

  test('extends one that is nearly over, too, when its worker was heard of not long ago', async () => {
    await world.look(0);
    world.jobs.timeMs += (LIMITS.workerLeaseMs * 2) / 3;
    expect(await world.silence(1000)).toBe(1);
    await world.look(0);
    world.jobs.timeMs += (LIMITS.workerLeaseMs * 2) / 3;
    expect(await world.silence(1501)).toBe(0);
  });
});
