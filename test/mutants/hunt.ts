import { simulate } from '../simulation/simulate.js';

/**
 * `node .tools/test/mutants/hunt.js SEEDS [FROM STEP]`: runs the simulator with so many seeds, from 1 if nothing else is said,
 * until something is violated. Exit code 1 and one line when something was, 0 when all seeds went well.
 */
const [seedsMax = 0, from = 1, step = 1] = process.argv.slice(2).map(Number);

for (let run = 0; run < seedsMax; run += 1) {
  const seed = from + run * step;
  const { violation } = await simulate({ seed });
  if (violation === null) continue;
  console.log(`found at seed ${seed}, run ${run + 1}: ${violation.split('\n')[0]}`);
  process.exit(1);
}
