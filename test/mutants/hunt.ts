import { simulate } from '../simulation/simulate.js';

/**
 * `node .tools/test/mutants/hunt.js SEEDS`: runs the simulator from seed 1 until something is violated. Exit
 * code 1 and one line when something was, 0 when all seeds went well.
 */
const seedsMax = Number(process.argv[2]);

for (let seed = 1; seed <= seedsMax; seed += 1) {
  const { violation } = await simulate({ seed });
  if (violation === null) continue;
  console.log(`found at seed ${seed}: ${violation.split('\n')[0]}`);
  process.exit(1);
}
