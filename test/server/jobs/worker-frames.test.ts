import { describe, expect, test } from 'vitest';
import type { WorkerDemand } from '../../../src/base/job.js';
import { LIMITS } from '../../../src/base/limits.js';
import type { WorkAnswer } from '../../../src/rpc/job-protocol.js';
import { packReplicaFrame } from '../../../src/rpc/replica-frames.js';
import { answerJobQuery } from '../../../src/server/jobs/job-answers.js';
import { JobWorld, stage } from '../../statemachine/job-world.js';
import { ServiceWorld } from './service-world.js';

const MiB = 1024 * 1024;

/** What a task takes that joins so many results of a MiB: bytes of the frame, or the code of the error. */
async function inputOf(count: number): Promise<number | string> {
  const world = await JobWorld.start();
  await world.submit([stage('make'), stage('join', { kind: 'combine', after: [1], fanIn: 64 })], {
    input: { type: 'list', items: Array.from({ length: count }, (_, i) => `${i}`) },
  });
  const bytes = Buffer.alloc(MiB, 'x');
  for (let i = 0; i < count; i += 1) {
    await world.run('w', 1, i, { type: 'result', value: { type: 'bytes', bytes }, call: null });
  }
  const [fence = 0] = await world.claim('w', [[2, 0]]);
  const machine = () => world.replica.machine;
  try {
    const own = { nowMs: 0, limits: LIMITS };
    const answer = await answerJobQuery(machine, { about: 'input', fence }, own);
    const side = 'unknown' as const;
    const meta = { term: 1, revision: 1, appliedIndex: 1, stalenessMs: null, side };
    const answers = [{ type: 'jobs', id: 1, meta, ...answer }] as const;
    return packReplicaFrame({ type: 'answers', answers }).byteLength;
  } catch (error) {
    return (error as { readonly code: string }).code;
  }
}

describe('what a worker of a user is told', () => {
  test('of the input of a task fits into a frame, or the task has too much', async () => {
    expect(await inputOf(24)).toBeLessThan(0.51 * LIMITS.frameBytesMax);
    expect(await inputOf(25)).toBe('JOB_LIMIT');
  });

  test('of its tasks is some MiB at a time', async () => {
    const { jobs, service } = await ServiceWorld.start();
    const count = 10;
    const items = Array.from({ length: count }, (_, i) => `${i}`);
    const args = JSON.stringify('x'.repeat(MiB));
    await jobs.submit([stage('map')], { args, input: { type: 'list', items } });
    const all = await jobs.claim(
      'w',
      items.map((_, i) => [1, i]),
    );
    const fences: number[] = [];
    const turns: number[] = [];
    while (fences.length < count) {
      let answer: Partial<WorkAnswer> = {};
      const demand: WorkerDemand = {
        ...{ worker: 'w', home: 'h', slots: count, threads: count },
        ...{ where: 'worker', tasks: ['map'], labels: [], memoryBytes: 0 },
      };
      service.work({ demand, fences }, (one) => {
        answer = one as WorkAnswer;
      });
      const { assigned = [] } = answer;
      fences.push(...assigned.map(({ fence }) => fence));
      turns.push(assigned.length);
      if (assigned.length === 0) break;
    }
    expect(fences).toEqual(all);
    expect(Math.max(...turns)).toBe(4);
  });
});
