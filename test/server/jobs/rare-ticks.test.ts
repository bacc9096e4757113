import { expect, test } from 'vitest';
import type { JobStep } from '../../../src/base/job.js';
import { LIMITS } from '../../../src/base/limits.js';
import { seededRandom } from '../../../src/base/random.js';
import { JobService } from '../../../src/server/jobs/job-service.js';
import { JobWorld, stage } from '../../statemachine/job-world.js';

// A tick is as long as heartbeatMs: 100 ms by default.
test.each([25, 500, 600, 1000])(
  'a worker that asks all the time keeps its task, with ticks of %i ms',
  async (tickMs) => {
    const jobs = await JobWorld.start();
    await jobs.submit([stage('map')]);
    let nowMs = 0;
    let lost = 0;
    let busy = Promise.resolve();
    const service = new JobService({
      clock: {
        monotonicMs: () => nowMs,
        wallMs: () => nowMs,
        setTimer: () => ({ cancel: () => {} }),
        defer: (callback) => void setImmediate(callback),
      },
      ...{ limits: LIMITS, machine: () => jobs.replica.machine, canPropose: () => true },
      nowMs: () => jobs.timeMs,
      propose: (steps: readonly JobStep[], _isPatient, done) => {
        lost += steps.filter(({ type }) => type === 'lost').length;
        busy = jobs.step(...steps).then(() => {
          done(true);
          service.applied();
        });
      },
      ...{ operations: () => 0, loopUse: () => 0, machineUse: () => 0, processors: 2 },
      ...{ id: 'n1.1', name: 'n1', random: seededRandom(1), executor: null, leader: () => 'n1.1' },
      send: () => {},
    });
    const fences: number[] = [];
    const asks = [0];
    const ask = (): void =>
      service.work(
        {
          demand: {
            ...{ worker: 'w', home: 'h', where: 'worker', slots: 1, threads: 1 },
            ...{ tasks: ['map'], labels: [], memoryBytes: 0 },
          },
          fences,
        },
        (answer) => {
          if (!('assigned' in answer)) return;
          for (const { fence } of answer.assigned) fences.push(fence);
          // It asks again a millisecond later.
          asks.push(nowMs + 1);
        },
      );
    for (let ms = 0; ms < 20_000; ms += 1) {
      nowMs = ms;
      jobs.timeMs = 1000 + ms;
      while ((asks[0] ?? Number.POSITIVE_INFINITY) <= ms) {
        asks.shift();
        ask();
      }
      if (ms % tickMs === 0) service.tick();
      await new Promise((resolve) => setImmediate(resolve));
      await busy;
    }
    expect({ lost, began: fences.length }).toEqual({ lost: 0, began: 1 });
  },
);
