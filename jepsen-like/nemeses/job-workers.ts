import { during, type Nemesis, type Stage, shuffled } from './nemesis.js';

/** Longer than the lease of a worker (`workerLeaseMs`, 5 s of log time): what it does then comes too late. */
const LONG_PAUSE_MS = 7000;

/** Does it to one after the other, as long as the episode lasts. */
async function toWorkers(
  stage: Stage,
  name: string,
  harm: (worker: string) => Promise<void>,
): Promise<void> {
  const { workers } = stage.system;
  if (workers.running.length === 0) return;
  await during(stage, { name, nodes: [] }, async () => {
    const untilMs = performance.now() + stage.holdMs;
    do {
      const [worker] = shuffled(stage.random, workers.running);
      if (worker !== undefined) await harm(worker);
      await stage.sleep(500 + stage.random.int(2000));
    } while (performance.now() < untilMs && !stage.signal.aborted);
  });
}

export const workerKill: Nemesis = {
  name: 'worker-kill',
  about: 'kill -9 of workers of jobs in the middle of their tasks, while others join',
  episode: (stage) =>
    toWorkers(stage, 'worker-kill', async (worker) => {
      const { workers } = stage.system;
      await workers.kill(worker);
      stage.count('worker killed');
      await stage.sleep(stage.random.int(2000));
      workers.start();
    }),
};

export const workerPause: Nemesis = {
  name: 'worker-pause',
  about:
    'SIGSTOP of a worker of jobs for longer than its lease, then SIGCONT: what it has done comes too late',
  episode: (stage) =>
    toWorkers(stage, 'worker-pause', async (worker) => {
      const { workers } = stage.system;
      workers.signal(worker, 'SIGSTOP');
      await stage.sleep(LONG_PAUSE_MS + stage.random.int(2000));
      workers.signal(worker, 'SIGCONT');
      stage.count('worker paused');
    }),
};
