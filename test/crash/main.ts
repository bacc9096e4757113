import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { seededRandom } from '../../src/base/random.js';
import { type Crash, runWith } from './crash-points.js';
import { planAll, twice } from './plan.js';
import { Progress } from './progress.js';

const HELP = `Lets the power fail at every single step of every replica in a fixed script.

  npm run crash-points                     every place, every log that can be found, one crash each
  npm run crash-points -- --twice          each with a second crash while the replica starts again
  npm run crash-points -- --every N        only each N-th
  npm run crash-points -- --from N         goes on where another run of the same options was ended
  npm run crash-points -- --cores N        default: all
  npm run crash-points -- --crash JSON     one of them, as a failure prints it`;

/** More than any place has. */
const OUTCOMES_MAX = 1 << 12;

const { values } = parseArgs({
  options: {
    twice: { type: 'boolean', default: false },
    every: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    cores: { type: 'string', default: String(availableParallelism()) },
    crash: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (process.send !== undefined) process.on('message', (crash: Crash) => void answer(crash));
else if (values.help) console.log(HELP);
else if (values.crash !== undefined) await one(JSON.parse(values.crash) as Crash);
else process.exitCode = await all();

async function one(crash: Crash): Promise<void> {
  const violation = await runWith(crash);
  console.log(violation ?? 'every promise was kept');
  process.exitCode = violation === null ? 0 : 1;
}

async function answer(crash: Crash): Promise<void> {
  process.send?.({ crash, violation: await runWith(crash) });
}

async function all(): Promise<number> {
  const startedMs = Date.now();
  const plan = await planAll(OUTCOMES_MAX);
  const random = seededRandom(1);
  const queue = plan.crashes
    .filter((_, i) => i % Number(values.every) === 0)
    .map((crash) => (values.twice ? twice(crash, random) : crash));
  const total = queue.length;
  const from = Number(values.from);
  queue.splice(0, from);
  console.log(`${plan.places} places, ${plan.logsOpened} logs opened, ${total} whole runs`);
  let failed = 0;
  let done = from;
  const progress = new Progress(from, total);
  const work = (): Promise<void> =>
    new Promise((resolve) => {
      const child = fork(import.meta.filename);
      const next = (): void => {
        const crash = queue.shift();
        if (crash === undefined) child.disconnect();
        else child.send(crash);
      };
      child.on('message', ({ crash, violation }: { crash: Crash; violation: string | null }) => {
        done += 1;
        if (violation !== null) {
          failed += 1;
          console.log(
            `\n${violation}\nto repeat it: npm run crash-points -- --crash '${JSON.stringify(crash)}'`,
          );
        }
        progress.tell(done, failed);
        next();
      });
      child.on('exit', () => resolve());
      next();
    });
  await Promise.all(Array.from({ length: Number(values.cores) }, work));
  const minutes = ((Date.now() - startedMs) / 60_000).toFixed(1);
  console.log(
    `\n${done - from} of ${total - from} runs in ${minutes} minutes, ${failed} broke a promise`,
  );
  return failed === 0 && done === total ? 0 : 1;
}
